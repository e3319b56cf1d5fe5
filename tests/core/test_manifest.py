"""A manifest is read strictly or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raven_backup_provider.core import manifest as manifests
from raven_backup_provider.core.errors import ManifestError
from tests.core.builders import known_keys, manifest


def test_what_was_written_is_read_back() -> None:
    original = manifest(1, compare_exchange=known_keys("00ff"), warnings=("careful",))
    assert manifests.load(manifests.dump(original), name="m") == original


def test_a_signed_manifest_is_read_with_its_key() -> None:
    assert manifests.load(manifests.dump(manifest(0), b"key"), name="m", signing_key=b"key") == manifest(0)


def test_a_signed_manifest_is_readable_where_no_key_is_configured() -> None:
    assert manifests.load(manifests.dump(manifest(0), b"key"), name="m") == manifest(0)


@pytest.mark.parametrize("written_with", [None, b"another"])
def test_a_manifest_not_signed_with_the_key_is_refused(written_with: bytes | None) -> None:
    with pytest.raises(ManifestError, match=r"m.*sign"):
        manifests.load(manifests.dump(manifest(0), written_with), name="m", signing_key=b"key")


def test_a_signed_manifest_changed_afterwards_is_refused() -> None:
    document = json.loads(manifests.dump(manifest(0), b"key"))
    document["counts"]["Documents"] = 6
    with pytest.raises(ManifestError, match="does not match"):
        manifests.load(json.dumps(document).encode(), name="m", signing_key=b"key")


def _changed(**changes: Any) -> bytes:
    document = json.loads(manifests.dump(manifest(0)))
    document.update(changes)
    return json.dumps(document).encode()


BAD: list[tuple[str, bytes, str]] = [
    ("empty", b"", "not readable as JSON"),
    ("cut short", manifests.dump(manifest(0))[:-20], "not readable as JSON"),
    ("random bytes", b"\x00\xff\xfe" * 50, "not readable as JSON"),
    ("nested bomb", b"[" * 100_000, "not readable as JSON"),
    ("not an object", b"[]", "no format version"),
    ("newer version", _changed(format=2), "format version 2"),
    ("unknown field", _changed(surprise=1), "surprise"),
    ("size as text", _changed(file={"name": "x", "size": "5", "sha256": "0" * 64}), "file.size"),
    ("negative size", _changed(file={"name": "x", "size": -5, "sha256": "0" * 64}), "file.size"),
    ("bad hash", _changed(file={"name": "x", "size": 5, "sha256": "0" * 63}), "file.sha256"),
    ("path in the name", _changed(file={"name": "../x", "size": 5, "sha256": "0" * 64}), "file.name"),
    ("time without zone", _changed(started="2026-03-01T12:00:00"), "started"),
    ("unknown kind", _changed(kind="differential"), "kind"),
]


@pytest.mark.parametrize(("data", "problem"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_manifest_is_refused_and_the_fault_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifests.load(data, name="shop/x.manifest.json")
    assert problem in str(caught.value)
    assert "shop/x.manifest.json" in str(caught.value)


def test_an_oversized_manifest_is_refused_unread() -> None:
    with pytest.raises(ManifestError, match="larger than"):
        manifests.load(b" " * (manifests.MAX_SIZE + 1), name="m")

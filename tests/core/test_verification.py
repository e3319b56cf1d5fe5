"""The checks of one stored file: all that is wrong is reported, and what could not be looked at is never fine."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest
import zstandard

from raven_backup_provider.core.encryption import EncryptionKey, Encryptor
from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.core.manifest import EncryptionEntry, FileEntry
from raven_backup_provider.core.model import BackupType, Compression
from raven_backup_provider.core.verification import (
    Depth,
    Expected,
    Finding,
    Problem,
    check_file,
    check_stored_file,
    read_file,
)
from tests.core.builders import manifest
from tests.support.backup_text import attachment, backup, document, segment, text

KEY = EncryptionKey(bytes(range(32)))
NAME = "2026-11-22-12-00-00.ravendb-full-backup"
DECODED = backup(
    [
        ("Docs", [attachment(b"content"), *[document(f"a/{n}", Text="word " * n) for n in range(300)]]),
        ("TimeSeries", [segment(5), segment(9)]),
        ("CompareExchange", [text({"Key": "k", "Value": "1"})]),
    ]
)
COUNTS = {"DatabaseRecord": 1, "Documents": 300, "TimeSeries": 14, "CompareExchange": 1, "Tombstones": 0}


def zstd(plain: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(plain) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


def seal(plain: bytes, key: EncryptionKey = KEY) -> bytes:
    encryptor = Encryptor(key)
    return encryptor.update(plain) + encryptor.finish()


STORED = zstd(DECODED)


def opener(stored: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(stored)


def expected_of(stored: bytes, **changes: Any) -> Expected:
    fields: dict[str, Any] = {"size": len(stored), "sha256": hashlib.sha256(stored).hexdigest(), "counts": COUNTS}
    return Expected(**{**fields, **changes})


def check(stored: bytes, expected: Expected | None = None, **options: Any) -> list[Finding]:
    return check_stored_file(NAME, opener(stored), expected or expected_of(stored), **options)


def problems(findings: list[Finding]) -> list[Problem]:
    return [finding.problem for finding in findings]


@pytest.mark.parametrize("stored", [STORED, gzip.compress(DECODED), DECODED])
@pytest.mark.parametrize("depth", Depth)
def test_a_good_file_has_no_findings(stored: bytes, depth: Depth) -> None:
    assert check(stored, depth=depth) == []
    sealed = seal(stored)
    assert check(sealed, expected_of(sealed, key_id=KEY.key_id), key=KEY, depth=depth) == []


def test_size_and_hash_are_both_reported() -> None:
    findings = check(STORED + b"x", expected_of(STORED), depth=Depth.BYTES)
    assert problems(findings) == [Problem.SIZE, Problem.HASH]
    assert f"{len(STORED) + 1} bytes instead of {len(STORED)}" in str(findings[0])
    assert all(NAME in str(finding) for finding in findings)


def test_a_damaged_content_does_not_keep_the_hash_of_the_whole_file_from_being_checked() -> None:
    """Behind the damage lie 8 MiB that the parser never asks for; the digest must still be the whole file's."""
    broken = DECODED[:1000] + b"!!" + DECODED[1002:] + bytes(8 << 20)
    assert problems(check(broken)) == [Problem.DAMAGED]
    assert problems(check(broken, expected_of(DECODED))) == [Problem.DAMAGED, Problem.SIZE, Problem.HASH]


def test_a_flipped_bit_that_decompression_does_not_notice_is_found_by_the_hash() -> None:
    good = STORED
    stored = bytearray(good)
    stored[len(stored) // 2] ^= 1
    assert Problem.HASH in problems(check(bytes(stored), expected_of(good)))


@pytest.mark.parametrize("depth", [Depth.END, Depth.ITEMS])
@pytest.mark.parametrize("form", [zstd, gzip.compress, bytes])
def test_a_file_whose_export_was_cut_is_damaged_even_if_the_manifest_was_written_for_it(
    depth: Depth, form: Callable[[bytes], bytes]
) -> None:
    cut = form(DECODED[: DECODED.index(b'{"Text":"word word word') - 1])
    assert problems(check(cut, expected_of(cut, counts=None), depth=depth)) == [Problem.DAMAGED]


def test_an_encrypted_file_cut_exactly_between_two_blocks_is_damaged() -> None:
    cut = seal(DECODED)[: 24 + 2 * 4113]
    assert problems(check(cut, expected_of(cut, key_id=KEY.key_id), key=KEY)) == [Problem.DAMAGED]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"Documents": 301}, "holds 300 of type Documents, the server exported 301"),
        ({"Documents": 299}, "holds 300 of type Documents, the server exported 299"),
        ({"Counters": 1}, "holds 0 of type Counters, the server exported 1"),
        ({"TimeSeries": 13}, "holds 14 of type TimeSeries"),
    ],
)
def test_another_number_of_items_than_the_server_exported_is_a_finding(counts: dict[str, int], message: str) -> None:
    findings = check(STORED, expected_of(STORED, counts=counts))
    assert problems(findings) == [Problem.COUNTS]
    assert message in findings[0].detail


@pytest.mark.parametrize("counts", [{"TimeSeries": 20}, {"SomethingNewer": 5}, {}])
def test_counts_that_ravendb_does_not_write_one_to_one_are_no_finding(counts: dict[str, int]) -> None:
    assert check(STORED, expected_of(STORED, counts=counts)) == []


def test_an_attachment_whose_content_was_changed_before_the_backup_is_a_finding() -> None:
    changed = backup([("Docs", [attachment(b"right").replace(b"}right", b"}wrong"), document("a/1")])])
    assert problems(check(changed, expected_of(changed, counts=None))) == [Problem.ATTACHMENT]


def test_an_encrypted_file_without_its_key_is_hashed_and_not_called_fine() -> None:
    stored = seal(STORED)
    findings = check(stored, expected_of(stored, key_id=KEY.key_id))
    assert problems(findings) == [Problem.KEY]
    assert KEY.key_id in findings[0].detail
    wrong = EncryptionKey.generate()
    findings = check(stored + b"x", expected_of(stored, key_id=KEY.key_id), key=wrong)
    assert problems(findings) == [Problem.KEY, Problem.SIZE, Problem.HASH]
    assert wrong.key_id in findings[0].detail


def test_a_plain_file_that_should_be_encrypted_is_a_finding() -> None:
    assert problems(check(STORED, expected_of(STORED, key_id=KEY.key_id), key=KEY)) == [Problem.KEY]


def test_an_encrypted_file_that_should_be_plain_is_a_finding() -> None:
    stored = seal(STORED)
    assert problems(check(stored, expected_of(stored))) == [Problem.DAMAGED]


def test_a_file_that_cannot_be_opened_is_a_finding_and_not_an_exception() -> None:
    def refuse() -> BinaryIO:
        raise DestinationError("There is no file 'x' in folder:/backups.")

    findings = check_stored_file(NAME, refuse, expected_of(STORED))
    assert problems(findings) == [Problem.UNREADABLE]
    assert "There is no file 'x'" in findings[0].detail


@pytest.mark.parametrize("depth", Depth)
def test_a_file_that_breaks_off_while_it_is_read_is_unreadable_and_nothing_else(depth: Depth) -> None:
    class Breaking(io.BytesIO):
        closed_by_us = False

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(2000)
            if self.tell() > 6000:
                raise OSError(5, "Input/output error")
            return data

        def close(self) -> None:
            Breaking.closed_by_us = True
            super().close()

    findings = check_stored_file(NAME, lambda: Breaking(DECODED), expected_of(DECODED), depth=depth)
    assert problems(findings) == [Problem.UNREADABLE]
    assert "at byte 6000" in findings[0].detail
    assert Breaking.closed_by_us


def test_the_file_is_read_once_and_progress_is_told() -> None:
    opened: list[int] = []
    seen: list[int] = []

    def open_once() -> BinaryIO:
        opened.append(1)
        return io.BytesIO(DECODED + bytes(3 << 20))

    check_stored_file(NAME, open_once, expected_of(DECODED), on_bytes=seen.append)
    assert opened == [1]
    assert sum(seen) == len(DECODED) + (3 << 20)
    assert len(seen) >= 3


def test_a_cancellation_ends_the_check_at_once() -> None:
    class Stop(Exception):
        pass

    def stop(_count: int) -> None:
        raise Stop

    for depth in Depth:
        with pytest.raises(Stop):
            check_stored_file(NAME, opener(STORED), expected_of(STORED), depth=depth, on_bytes=stop)


def test_a_reading_without_a_manifest_tells_what_the_file_is() -> None:
    report = read_file(NAME, opener(STORED))
    assert report.readable
    assert report.digest.sha256 == hashlib.sha256(STORED).hexdigest()
    assert report.compression is Compression.ZSTD
    assert report.summary is not None
    assert report.summary.counts["Documents"] == 300


# --- snapshots ----------------------------------------------------------------------------------------------------


def snapshot(comment: bytes = b"") -> bytes:
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("Documents/Raven.voron", bytes(200_000))
        archive.comment = comment
    return stored.getvalue()


@pytest.mark.parametrize("comment", [b"", b"PK\x05\x06 misleading", b"x" * 65_535])
def test_a_whole_snapshot_has_no_findings(comment: bytes) -> None:
    stored = snapshot(comment)
    assert check(stored, expected_of(stored, snapshot=True)) == []


def test_a_whole_encrypted_snapshot_has_no_findings() -> None:
    stored = seal(snapshot())
    expected = expected_of(stored, snapshot=True, key_id=KEY.key_id)
    assert check(stored, expected, key=KEY) == []
    assert problems(check(stored, expected)) == [Problem.KEY]
    assert problems(check(stored, expected, key=EncryptionKey.generate())) == [Problem.KEY]


@pytest.mark.parametrize("kept", [-1, -22, 100_000, 1, 0])
def test_a_cut_snapshot_is_found(kept: int) -> None:
    stored = snapshot()[:kept]
    assert check(stored, expected_of(stored, snapshot=True)) != []
    sealed = seal(snapshot())[: 24 + 10 * 4113]
    expected = expected_of(sealed, snapshot=True, key_id=KEY.key_id)
    assert problems(check(sealed, expected, key=KEY)) == [Problem.DAMAGED]


def test_a_snapshot_is_not_accepted_as_a_logical_backup() -> None:
    stored = snapshot()
    findings = check(stored, expected_of(stored))
    assert problems(findings) == [Problem.DAMAGED]
    assert "snapshot" in findings[0].detail


# --- with a manifest ----------------------------------------------------------------------------------------------


def test_a_file_is_checked_against_its_manifest() -> None:
    stored = seal(STORED)
    entry = FileEntry(name=NAME, size=len(stored), sha256=hashlib.sha256(stored).hexdigest())
    encryption = EncryptionEntry(scheme="xchacha20poly1305-secretstream", key_id=KEY.key_id)
    good = manifest(file=entry, encryption=encryption, counts=COUNTS)
    assert check_file(good, opener(stored), key=KEY) == []
    assert problems(check_file(good, opener(stored))) == [Problem.KEY]
    assert problems(check_file(good, opener(stored[:-1]), depth=Depth.BYTES)) == [Problem.SIZE, Problem.HASH]
    more = manifest(file=entry, encryption=encryption, counts={"Documents": 1})
    assert problems(check_file(more, opener(stored), key=KEY)) == [Problem.COUNTS]


def test_a_snapshot_is_checked_against_its_manifest() -> None:
    stored = snapshot()
    entry = FileEntry(name=NAME, size=len(stored), sha256=hashlib.sha256(stored).hexdigest())
    assert check_file(manifest(file=entry, type=BackupType.SNAPSHOT), opener(stored)) == []

"""No key, token or signature of Azure in any message, log line or traceback."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from urllib.parse import parse_qs, quote

import pytest

from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.destinations import azure_calls
from raven_backup_provider.destinations.azure_failure import failure_of
from raven_backup_provider.destinations.azure_redaction import redact
from tests.destinations.azure_places import Places, is_block, is_commit, open_places, refusal, upload
from tests.destinations.contract import FILE, keys
from tests.support.azurite import KEY, Azurite
from tests.support.http_faults import Fault, answer, cut, silence

SECRETS = ["s3cr3t%2Bsignature%3D", "c2VjcmV0LWtleQ=="]


@pytest.fixture
def places(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    monkeypatch.setattr(azure_calls, "_FIRST_PAUSE", 0.01)
    yield from open_places(azurite)


@pytest.mark.parametrize(
    "text",
    [
        f"https://a.blob.core.windows.net/c/b?comp=block&sv=2024&sig={SECRETS[0]}&se=2026",
        f"Max retries exceeded with url: /c/b?sig={SECRETS[0]} (Caused by X)",
        f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={SECRETS[1]};EndpointSuffix=core.windows.net",
        f"SharedAccessSignature=sv=2024&SIG={SECRETS[0]}",
        f"Authorization: SharedKey account:{SECRETS[1]}",
        f"'Authorization': 'Bearer {SECRETS[1]}'",
        f"The MAC signature found in the HTTP request '{SECRETS[1]}' is not the same as any computed signature.",
        f"client_secret={SECRETS[1]}&grant_type=client_credentials",
    ],
)
def test_secrets_are_taken_out_of_a_text(text: str) -> None:
    clean = redact(text)
    assert "***" in clean
    assert not any(secret in clean for secret in SECRETS)


def test_other_text_is_left_as_it_is() -> None:
    text = (
        "Cannot write 'shop/x?sigma=1' in azure:a.blob.core.windows.net/c (HTTP 403 AuthenticationFailed), design=good"
    )
    assert redact(text) == text


def test_what_the_network_library_quotes_does_not_come_through() -> None:
    inner = OSError(104, "Connection reset by peer")
    outer = ConnectionError(f"HTTPSConnectionPool: Max retries exceeded with url: /c?sig={SECRETS[0]}")
    outer.__cause__ = inner
    failure = failure_of(outer)
    assert str(failure) == "no answer: Connection reset by peer"


FAULTS: dict[str, Fault] = {
    "refused": refusal(403, "AuthenticationFailed", AuthenticationErrorDetail="Signature did not match."),
    "cut": cut(),
    "silent": silence(30),
    "gateway": answer(502, {"Content-Type": "text/html"}, b"<html>"),
    "unknown": refusal(400, "SomethingNew"),
}


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Every line that anything below or beside us logs, down to level DEBUG."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    loggers = [
        logging.getLogger(name) for name in ("urllib3", "urllib3.connectionpool", "azure", "raven_backup_provider")
    ]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    handler = Keep(logging.DEBUG)
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    yield found
    for logger, level, disabled in before:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.disabled = disabled


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_of_a_token_is_seen_when_things_fail(places: Places, name: str, lines: list[str]) -> None:
    place = places.faulty(sas="rcwl", timeout=0.5, tries=2)
    token = place._place.container.credential.signature  # type: ignore[union-attr]
    signature = parse_qs(token)["sig"][0]
    places.proxy.on(is_block if name != "unknown" else is_commit, FAULTS[name])
    with pytest.raises(RavenBackupError) as failure:
        upload(place, expected=False)
    assert FILE in str(failure.value)
    printed = "\n".join([*traceback.format_exception(failure.value), *lines, repr(failure.value)])
    assert "comp=block" in printed, "the HTTP library's own lines were not looked at"
    for form in (signature, quote(signature), quote(signature, safe=""), KEY):
        assert form not in printed


def test_the_name_of_a_place_holds_nothing_of_a_token(places: Places) -> None:
    place = places.faulty(sas="rcwl")
    assert "sig" not in place.identity
    assert "?" not in place.identity
    assert "sig" not in repr(place)


def test_a_wrong_key_is_not_repeated(places: Places, lines: list[str]) -> None:
    import base64
    from dataclasses import replace

    wrong = base64.b64encode(b"a wrong key of some length").decode()
    place = places.direct()
    client = places.azurite.client(credential=wrong)
    place._place = replace(place._place, container=client.get_container_client(places.container))
    with pytest.raises(RavenBackupError) as failure:
        keys(place)
    assert wrong not in "\n".join([str(failure.value), *lines])
    malformed = places.azurite.client(credential="not base64!")
    place._place = replace(place._place, container=malformed.get_container_client(places.container))
    with pytest.raises(RavenBackupError, match="account key in the Connection is malformed") as failure:
        keys(place)
    assert "not base64!" not in str(failure.value)

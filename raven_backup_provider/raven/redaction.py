"""Secrets of a request never come back in a message.

RavenDB quotes arguments in its error messages, so whatever secret we send (an encryption key, a bucket's password) is
taken out of every text that may reach a log or an exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

MASK = "***"

# Names of RavenDB's own settings that hold a secret (backup destinations, encryption, certificates).
_SECRET_NAMES = frozenset(
    {
        "key",
        "encryptionkey",
        "encryptionkeybase64",
        "awssecretkey",
        "awsaccesskey",
        "awssessiontoken",
        "accountkey",
        "sastoken",
        "password",
        "googlecredentialsjson",
        "certificate",
        "certificateasbase64",
        "arguments",
    }
)
# Shorter values would blank out ordinary words.
_SHORTEST = 4


def secrets_in(body: Any) -> tuple[str, ...]:
    """All secret values inside a JSON body that is about to be sent."""
    return tuple(sorted(set(_walk(body)), key=len, reverse=True))


def redact(text: str, secrets: Iterable[str]) -> str:
    """``text`` with every secret replaced by ``***``."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return text


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str) and str(name).lower() in _SECRET_NAMES:
                yield inner
            else:
                yield from _walk(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _walk(inner)

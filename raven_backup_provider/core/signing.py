"""Signing our small JSON documents: what counts as a key, and how a document carries its signature (HMAC-SHA256)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from raven_backup_provider.core.errors import EncryptionKeyError

#: Bytes; a shorter HMAC key could be guessed.
SHORTEST_SIGNING_KEY = 32


def signing_key_from_base64(text: str) -> bytes:
    """The key as it is stored; white space around it does not matter.

    :raises EncryptionKeyError: not base64, or too short.
    """
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) < SHORTEST_SIGNING_KEY:
        raise EncryptionKeyError(
            f"A signing key is the base64 text of at least {SHORTEST_SIGNING_KEY} bytes. `raven-backup generate-key` prints one."
        )
    return raw


def signature_of(document: Mapping[str, Any], signing_key: bytes) -> str:
    """HMAC-SHA256 over the document (without its own ``signature``), as 64 hex digits."""
    body = {name: value for name, value in document.items() if name != "signature"}
    canonical = json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")
    return hmac.new(signing_key, canonical, hashlib.sha256).hexdigest()


def signed(document: Mapping[str, Any], signing_key: bytes) -> dict[str, Any]:
    """The document with its signature."""
    return {**document, "signature": signature_of(document, signing_key)}


def is_signed(document: Mapping[str, Any], signing_key: bytes) -> bool:
    """Whether the document carries the signature that this key makes."""
    found = document.get("signature")
    return isinstance(found, str) and hmac.compare_digest(found, signature_of(document, signing_key))

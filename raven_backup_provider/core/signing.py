"""The key that manifests are signed with: what counts as one."""

from __future__ import annotations

import base64
import binascii

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

"""What a key of a destination may look like: ``part/part/part``, no way out of the root, the same for every store."""

from __future__ import annotations

import re

from raven_backup_provider.core.errors import ConfigurationError

_REFUSED = re.compile(r"[\x00-\x1f\x7f\\]")
_MAX_PART_BYTES = 255


def check_key(key: str) -> str:
    """The key itself.

    :raises ConfigurationError: it is empty or could lead outside the root of some store.
    """
    if not key:
        raise ConfigurationError("An empty key names no file.")
    for part in key.split("/"):
        _check_part(part, key)
    return key


def check_prefix(prefix: str) -> str:
    """The folder without slashes around it; "" is the root.

    :raises ConfigurationError: as for :func:`check_key`.
    """
    prefix = prefix.removesuffix("/")
    return check_key(prefix) if prefix else ""


def _check_part(part: str, key: str) -> None:
    if part in ("", ".", ".."):
        raise ConfigurationError(f"The key {key!r} is not allowed: a part of it is {part!r}.")
    if _REFUSED.search(part):
        raise ConfigurationError(
            f"The key {key!r} is not allowed: a part of it has a control character or a backslash."
        )
    size = len(part) if part.isascii() else len(part.encode("utf-8", "surrogateescape"))
    if size > _MAX_PART_BYTES:
        raise ConfigurationError(
            f"The key {key!r} is not allowed: a part of it is longer than {_MAX_PART_BYTES} bytes."
        )

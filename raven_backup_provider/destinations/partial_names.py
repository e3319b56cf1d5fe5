"""Which names of a folder are backup files, and which stand for files that are not there yet.

A file gets its final name only when it is whole. Until then it is ``<file>.<16 hex digits>.in-progress``, a name that RavenDB's
restore passes over; whoever lists a folder passes over it too, and over hidden files.
"""

from __future__ import annotations

import re
import secrets

from raven_backup_provider.core.errors import ConfigurationError, FileExistsAtDestinationError
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.destinations.keys import check_key

_TOKEN_DIGITS = 16
_OF_COPY = re.compile(
    rf"(.+)\.[0-9a-f]{{{_TOKEN_DIGITS}}}\.[0-9a-f]{{{_TOKEN_DIGITS}}}" + re.escape(IN_PROGRESS_SUFFIX), re.DOTALL
)
_OURS_IN_PROGRESS = re.compile(rf".+\.[0-9a-f]{{{_TOKEN_DIGITS}}}" + re.escape(IN_PROGRESS_SUFFIX), re.DOTALL)


def partial_name(name: str, tag: str = "") -> str:
    """A name of its own for a file being written, at most 255 bytes long.

    :param tag: text that finds it again, such as the start of a digest; it stands before the 16 digits.
    """
    return f"{shortened(name, tag)}.{_and_dot(tag)}{secrets.token_hex(_TOKEN_DIGITS // 2)}{IN_PROGRESS_SUFFIX}"


def fixed_partial_name(name: str, token: str) -> str:
    """As :func:`partial_name`, but the same each time for the same ``token`` of 16 hex digits."""
    return f"{shortened(name)}.{token}{IN_PROGRESS_SUFFIX}"


def partials_of(name: str, tag: str, among: list[str]) -> list[str]:
    """Those of ``among`` that :func:`partial_name` made for that name and tag."""
    made = re.compile(
        re.escape(f"{shortened(name, tag)}.{_and_dot(tag)}")
        + f"[0-9a-f]{{{_TOKEN_DIGITS}}}"
        + re.escape(IN_PROGRESS_SUFFIX)
    )
    return [one for one in among if made.fullmatch(one)]


def is_ours_in_progress(name: str) -> bool:
    """Whether a writer of ours made that name; RavenDB's own have no digits."""
    return _OURS_IN_PROGRESS.fullmatch(name) is not None


def copied_name(name: str) -> str | None:
    """Final name of the file whose copy left that partial file (shortened if it is very long); None if no copy did.

    A copy's partial file is the only one whose tag is as long as the digits behind it.
    """
    found = _OF_COPY.fullmatch(name)
    return found[1] if found is not None else None


def is_hidden(name: str) -> bool:
    """Whether no listing shows it."""
    return name.startswith(".") or name.endswith(IN_PROGRESS_SUFFIX)


def published_key(key: str) -> str:
    """The key, if a file of that name would be listed.

    :raises ConfigurationError: it would not, or it is no key at all.
    """
    check_key(key)
    if is_hidden(key.rsplit("/", 1)[-1]):
        raise ConfigurationError(
            f"'{key}' cannot name a backup file: hidden and *{IN_PROGRESS_SUFFIX} names are for partial files."
        )
    return key


def exists_error(key: str, identity: str) -> FileExistsAtDestinationError:
    """For a key that is taken."""
    return FileExistsAtDestinationError(f"'{key}' exists in {identity} already; nothing is overwritten.")


def shortened(name: str, tag: str = "") -> str:
    """The start of a name that leaves room for what a partial name adds."""
    room = 255 - len(IN_PROGRESS_SUFFIX) - 1 - _TOKEN_DIGITS - len(_and_dot(tag))
    return name.encode()[:room].decode(errors="ignore")


def _and_dot(tag: str) -> str:
    return f"{tag}." if tag else ""

"""What an operator's arguments mean once templates are rendered: everything may arrive as text, and a form left empty as
"" or "None". Connection ids become destinations and keys here.
"""

from __future__ import annotations

import re
from ast import literal_eval
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from raven_backup_provider.core.errors import ConfigurationError

if TYPE_CHECKING:
    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.core.encryption import EncryptionKey

_E = TypeVar("_E", bound=Enum)


def open_destination(destination: str, server_path: str | None) -> Destination:
    """The destination an argument names; see hooks/storage.py."""
    from raven_backup_provider.hooks import storage

    return storage.open_destination(destination, given(server_path))


def encryption_key(conn_id: str | None) -> EncryptionKey | None:
    """The key in that Connection's password; None if no Connection is named."""
    from raven_backup_provider.hooks.encryption_key import RavenDBBackupKeyHook

    return RavenDBBackupKeyHook(found).get_key() if (found := given(conn_id)) else None


def signing_key(conn_id: str | None) -> bytes | None:
    """The key that manifests are signed with; None if no Connection is named."""
    from raven_backup_provider.hooks.encryption_key import RavenDBBackupKeyHook

    return RavenDBBackupKeyHook(found).get_signing_key() if (found := given(conn_id)) else None


def given(value: Any) -> str | None:
    """An optional text argument after rendering: a form left empty arrives as None, "" or the text "None"."""
    text = str(value).strip() if value is not None else ""
    return None if text in ("", "None", "null") else text


def names(value: Any, argument: str) -> list[str]:
    """A rendered list of names: a list, the text of one (``["a", "b"]``), or names separated by commas or line breaks.

    :raises ConfigurationError: there is none in it.
    """
    if isinstance(value, str) and value.strip().startswith("["):
        with suppress(ValueError, SyntaxError):
            value = literal_eval(value.strip())
    parts = re.split(r"[,\n]", value) if isinstance(value, str) else value or []
    found = [text for part in parts if (text := given(part)) is not None]
    if not found:
        raise ConfigurationError(f"{argument} names no destination.")
    return found


def choice(kind: type[_E], value: Any, name: str) -> _E:
    """A rendered argument as a member of an enum.

    :raises ConfigurationError: it is none; the message lists what can be chosen.
    """
    try:
        return kind(str(getattr(value, "value", value)).strip().lower())
    except ValueError:
        allowed = ", ".join(str(member.value) for member in kind)
        raise ConfigurationError(f"{name} must be one of {allowed}, not {value!r}.") from None


def positive(value: Any, name: str) -> float | None:
    """A rendered number above zero; None for an empty field.

    :raises ConfigurationError: it is not such a number.
    """
    text = given(value)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ConfigurationError(f"{name} must be a number above 0 or empty, not {value!r}.")
    return number


def moment(value: Any, name: str) -> datetime | None:
    """A rendered time with its zone, in ISO form; None for an empty field.

    :raises ConfigurationError: it is no such time.
    """
    text = given(value)
    if text is None:
        return None
    try:
        found: datetime | None = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ConfigurationError(f"{name} must be a time with its zone, such as 2026-01-31T02:00:00Z, not {value!r}.")
    return found


def switch(value: Any, name: str) -> bool:
    """A rendered switch; empty is off.

    :raises ConfigurationError: it is neither on nor off.
    """
    text = str(value).strip().lower() if value is not None else ""
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off", "", "none", "null"):
        return False
    raise ConfigurationError(f"{name} must be true or false, not {value!r}.")

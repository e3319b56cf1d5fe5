"""How a destination is written: ``scheme://connection_id@place/path?setting=value``.

Owns that form, which is Airflow's own for object stores. ``place`` is the bucket, container or vault; stores without such
a thing leave it empty (``sftp://my_server@/backups``). Settings are the adapter's (storage class, bandwidth limit...) and
never secrets: those belong into the Connection. The id of a Connection alone is an address too; place, path and settings
then come from the object ``raven_backup`` in the Connection's extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from raven_backup_provider.core.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Connection

#: The object in a Connection's extra that holds place, path and settings.
EXTRA_KEY = "raven_backup"


@dataclass(frozen=True, slots=True)
class DestinationAddress:
    """One destination by name.

    :param scheme: such as ``s3``; empty when only the Connection is named, whose type then decides.
    :param conn_id: the Airflow Connection.
    :param place: bucket, container or vault; empty where the store has none or the Connection says it.
    :param path: folder below it, without slashes at its ends.
    :param settings: the adapter's settings, as text.
    """

    scheme: str
    conn_id: str
    place: str = ""
    path: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """For messages."""
        return f"Destination {self.scheme}://{self.conn_id}@{self.place}/{self.path}" if self.scheme else self.conn_id

    def completed(self, connection: Connection) -> DestinationAddress:
        """With what the Connection's extra says where the address itself says nothing.

        :raises ConfigurationError: the extra's ``raven_backup`` is not an object of texts, numbers and switches.
        """
        given: Any = connection.extra_dejson.get(EXTRA_KEY) or {}
        if not isinstance(given, Mapping):
            raise ConfigurationError(f"Connection {self.conn_id!r}: '{EXTRA_KEY}' in its extra must be an object.")
        told = {str(name): _text(name, value, self.conn_id) for name, value in given.items()}
        place, path = told.pop("place", ""), told.pop("path", "")
        return DestinationAddress(
            self.scheme, self.conn_id, self.place or place, self.path or path.strip("/"), {**told, **self.settings}
        )


def parse_address(text: str) -> DestinationAddress:
    """Read ``scheme://connection_id@place/path?setting=value``.

    :raises ConfigurationError: it is not of that form.
    """
    parts = urlsplit(text)
    conn_id, at, place = parts.netloc.rpartition("@")
    if not at or not conn_id:
        raise ConfigurationError(
            f"Destination {_without_secrets(text)!r} names no Airflow Connection: write "
            f"{parts.scheme}://<connection id>@<bucket, container or nothing>/<folder>."
        )
    if ":" in conn_id or parts.fragment:
        raise ConfigurationError(
            f"Destination {_without_secrets(text)!r}: only a Connection id stands before the @, no password and no '#': secrets "
            "belong into the Connection."
        )
    settings: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in settings:
            raise ConfigurationError(f"Destination {_without_secrets(text)!r} gives the setting {name!r} twice.")
        settings[name] = value
    return DestinationAddress(parts.scheme, unquote(conn_id), unquote(place), unquote(parts.path).strip("/"), settings)


def _without_secrets(text: str) -> str:
    """The address without anything before its @ that could be a password, and without its settings."""
    scheme, _, rest = text.partition("://")
    return f"{scheme}://...@{rest.rpartition('@')[2].partition('?')[0]}" if "@" in rest else text.partition("?")[0]


def _text(name: Any, value: Any, conn_id: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ConfigurationError(
        f"Connection {conn_id!r}: '{EXTRA_KEY}.{name}' in its extra must be a text, a number or a switch."
    )

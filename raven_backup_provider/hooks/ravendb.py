"""The hook behind Connections of type ``ravendb``: a ready transport to one RavenDB server or cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from raven_backup_provider.core.errors import ConfigurationError

#: Characters; shorter lines of a key's text are padding and would mask ordinary words.
SHORTEST_KEY_LINE = 16

if TYPE_CHECKING:
    from pydantic import JsonValue

    from raven_backup_provider.raven.transport import Transport, TransportSettings


class RavenDBHook(BaseHook):
    """Turn an Airflow Connection into a RavenDB transport.

    Reading the Connection and its certificate files happens on first use, never in the constructor.

    :param ravendb_conn_id: id of a Connection of type ``ravendb``.
    """

    conn_name_attr = "ravendb_conn_id"
    default_conn_name = "ravendb_default"
    conn_type = "ravendb"
    hook_name = "RavenDB"

    def __init__(self, ravendb_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ravendb_conn_id = ravendb_conn_id
        self._transport: Transport | None = None

    def get_conn(self) -> Transport:
        """The transport, built once; close it (or use it in a ``with`` block) when done.

        :raises ConfigurationError: the Connection is incomplete or contradictory.
        """
        if self._transport is None:
            self._transport = self.new_transport()
        return self._transport

    def new_transport(self, **changes: Any) -> Transport:
        """A transport of its own, for another thread or a signal handler.

        :param changes: settings to replace, such as ``retries=0, connect_timeout=2.0``.
        """
        from dataclasses import replace

        from raven_backup_provider.raven.transport import Transport

        settings = self.settings()
        return Transport(replace(settings, **changes) if changes else settings)

    def settings(self) -> TransportSettings:
        """The Connection as transport settings; secrets in them are masked in every log from here on."""
        from raven_backup_provider.hooks.connection_settings import private_key_texts, transport_settings

        connection = self.get_connection(self.ravendb_conn_id)
        for text in private_key_texts(connection):
            mask_private_key(text)
        settings = transport_settings(connection)
        if settings.certificate is not None:
            mask_private_key(settings.certificate.pem.decode("utf-8", "replace"))
            if settings.certificate.key_password:
                mask_secret(settings.certificate.key_password)
        return settings

    def database(self, name: str | None = None) -> str:
        """``name``, or the Connection's default database (its ``schema`` field) when that is empty.

        :raises ConfigurationError: neither is given.
        """
        found = name or self.default_database()
        if not found:
            raise ConfigurationError(
                "No database named: give the operator's database argument, or fill in the field "
                f"'Default database' (schema) of Connection {self.ravendb_conn_id!r}."
            )
        return found

    def default_database(self) -> str | None:
        """The Connection's ``schema`` field; None if it is empty."""
        return self.get_connection(self.ravendb_conn_id).schema or None

    def test_connection(self) -> tuple[bool, str]:
        """Reach the server with the Connection's certificate; says version, node, clearance and licence."""
        try:
            from raven_backup_provider.hooks.connection_report import describe_server

            database = self.get_connection(self.ravendb_conn_id).schema
            with self.new_transport(retries=1) as transport:
                return True, describe_server(transport, database or None)
        except Exception as error:
            return False, str(error)


def mask_private_key(pem: str) -> None:
    """Mask each private key block of a PEM text, as a whole and line by line: a traceback may show single lines."""
    if "PRIVATE KEY" not in pem:
        return
    secrets: list[JsonValue] = [pem]
    inside = False
    for line in pem.replace("\\n", "\n").splitlines():
        if line.startswith("-----"):
            inside = line.startswith("-----BEGIN") and "PRIVATE KEY" in line
        elif inside and len(line) >= SHORTEST_KEY_LINE:
            secrets.append(line)
    mask_secret(secrets)  # one call: each one travels to the supervisor

"""From arguments to ready clients: transport, destination, keys.

What is given directly is used without Airflow, whose import alone takes more than a second; Connections are read through
the hooks, so that they mean the same as in a DAG.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from raven_backup_provider.cli.arguments import DEFAULT_CONN
from raven_backup_provider.cli.output import log_to_stderr
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError, EncryptionKeyError
from raven_backup_provider.core.signing import signing_key_from_base64

if TYPE_CHECKING:
    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.raven.transport import Transport

#: Bytes; a longer file is not a key or a password.
_SECRET_FILE_LIMIT = 64 * 1024


def open_transport(arguments: argparse.Namespace) -> Transport:
    """A transport to the server that the arguments name."""
    from raven_backup_provider.raven.transport import ClientCertificate, Transport, TransportSettings

    direct = [name for name in ("certificate", "certificate_password_file", "ca") if getattr(arguments, name)]
    if not arguments.url:
        if direct or arguments.insecure:
            raise ConfigurationError("--certificate, --ca and --insecure belong to --url; a Connection holds its own.")
        return _transport_of_connection(arguments.conn or DEFAULT_CONN)
    if arguments.conn:
        raise ConfigurationError("Give --conn or --url, not both.")
    password = _secret_file(arguments.certificate_password_file) if arguments.certificate_password_file else None
    certificate = None
    if arguments.certificate:
        path = Path(arguments.certificate)
        read = (
            ClientCertificate.from_pfx if path.suffix.lower() in (".pfx", ".p12") else ClientCertificate.from_pem_file
        )
        certificate = read(path, password)
    return Transport(
        TransportSettings(_urls(arguments), certificate, ca_file=arguments.ca, verify=not arguments.insecure)
    )


def database_name(arguments: argparse.Namespace) -> str:
    """The database that ``--database`` names, or else ``--url`` or the Connection.

    :raises ConfigurationError: none of them names one, or several URLs name different ones; says what to give.
    """
    if arguments.database:
        return str(arguments.database)
    if arguments.url:
        if arguments.conn:
            raise ConfigurationError("Give --conn or --url, not both.")
        return _database_in(_urls(arguments))
    quiet_airflow()
    from raven_backup_provider.hooks.ravendb import RavenDBHook

    conn_id = arguments.conn or DEFAULT_CONN
    if found := RavenDBHook(conn_id).default_database():
        return found
    raise ConfigurationError(
        f"No database named: give --database NAME, or fill in the field 'Default database' (schema) of Connection {conn_id!r}."
    )


def open_destination(arguments: argparse.Namespace) -> Destination:
    """The destination that ``--destination`` names."""
    return destination_named(arguments.destination, arguments.server_path)


def destination_named(text: str, server_path: str | None = None) -> Destination:
    """The destination of that name: an address (``scheme://...``), a path (it has a slash, and may be relative), or else
    the id of a Connection."""
    text = text.strip()
    if text.startswith("file:") or "://" in text or "/" not in text:
        quiet_airflow()
        from raven_backup_provider.hooks.storage import open_destination as open_by_connection

        return open_by_connection(text, server_path)
    from raven_backup_provider.destinations.folder import FolderDestination

    return FolderDestination(Path(text).expanduser().absolute(), server_path=server_path)


def destinations_named(texts: Sequence[str]) -> list[Destination]:
    """The destinations of those names."""
    return [destination_named(text) for text in texts]


def encryption_key(arguments: argparse.Namespace) -> EncryptionKey | None:
    """The encryption key, None if none is named."""
    keys = encryption_keys(arguments)
    return keys[0] if keys else None


def encryption_keys(arguments: argparse.Namespace) -> list[EncryptionKey]:
    """All encryption keys named."""
    keys = [_key_of_connection(conn_id) for conn_id in _listed(arguments.key_conn)]
    keys += [_key(_secret_file(path), f"File {path}") for path in _listed(arguments.key_file)]
    keys += [_key(_secret_variable(name), f"Variable {name}") for name in _listed(arguments.key_env)]
    return keys


def signing_key(arguments: argparse.Namespace) -> bytes | None:
    """The signing key, None if none is named."""
    if arguments.signing_key_conn:
        quiet_airflow()
        from raven_backup_provider.hooks.encryption_key import RavenDBBackupKeyHook

        return RavenDBBackupKeyHook(arguments.signing_key_conn).get_signing_key()
    if arguments.signing_key_file:
        return signing_key_from_base64(_secret_file(arguments.signing_key_file))
    if arguments.signing_key_env:
        return signing_key_from_base64(_secret_variable(arguments.signing_key_env))
    return None


def quiet_airflow() -> None:
    """Load Airflow, and keep it from writing example DAGs into a new home and anything to stdout."""
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    with contextlib.redirect_stdout(sys.stderr):
        from raven_backup_provider.hooks import storage  # noqa: F401  # sets up Airflow's logging
    log_to_stderr()


def _urls(arguments: argparse.Namespace) -> tuple[str, ...]:
    return tuple(url for given in arguments.url for url in given.replace(",", " ").split())


def _database_in(urls: Sequence[str]) -> str:
    """The database in the path of URLs such as ``http://host:8080/databases/shop``."""
    parts = [urlsplit(url).path.split("/") for url in urls]
    names = dict.fromkeys(unquote(part[2]) for part in parts if len(part) > 2 and part[1] == "databases" and part[2])
    if len(names) > 1:
        raise ConfigurationError(f"The URLs name several databases ({', '.join(names)}): give --database NAME.")
    for name in names:
        return name
    raise ConfigurationError(
        "No database named: give --database NAME, or name it in --url http://host:8080/databases/NAME (or fill in the field "
        "'Default database' of a Connection and give --conn instead of --url)."
    )


def _transport_of_connection(conn_id: str) -> Transport:
    quiet_airflow()
    from raven_backup_provider.hooks.ravendb import RavenDBHook

    return RavenDBHook(conn_id).new_transport()


def _key_of_connection(conn_id: str) -> EncryptionKey:
    quiet_airflow()
    from raven_backup_provider.hooks.encryption_key import RavenDBBackupKeyHook

    return RavenDBBackupKeyHook(conn_id).get_key()


def _key(text: str, where: str) -> EncryptionKey:
    try:
        return EncryptionKey.from_base64(text)
    except EncryptionKeyError as error:
        raise EncryptionKeyError(f"{where}: {error}") from None


def _listed(given: str | list[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else given or []


def _secret_variable(name: str) -> str:
    text = os.environ.get(name, "").strip()
    if not text:
        raise ConfigurationError(f"The environment variable {name} is not set or empty.")
    return text


def _secret_file(path: str) -> str:
    try:
        if path == "-":
            text = sys.stdin.readline(_SECRET_FILE_LIMIT)
        else:
            with open(path, encoding="utf-8-sig") as file:
                text = file.read(_SECRET_FILE_LIMIT)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"The file {path} cannot be read: {reason}.") from None
    if not text.strip():
        raise ConfigurationError(f"The file {path} is empty.")
    return text.strip()

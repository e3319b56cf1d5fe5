"""Which destination an operator's ``destination`` argument means: a folder on this machine, or an Airflow Connection.

Owns that mapping. Folders: an absolute path, a ``file://`` URI, or a Connection of type ``ravendb_backup_folder`` (ours: path
and the same folder as the RavenDB server sees it) or ``fs``. Every other store is an address (destination_address.py) or a
Connection id, opened by the module that :data:`STORES` names; that module is imported only then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow.sdk import BaseHook

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.hooks.connection_flag import flag
from raven_backup_provider.hooks.destination_address import DestinationAddress, parse_address

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from raven_backup_provider.core.destination import Destination


class RavenDBBackupFolderHook(BaseHook):
    """A folder that holds backups: local disk or a network path mounted on every worker.

    :param backup_folder_conn_id: Connection with ``path`` (as the workers see it) and, for backups the server writes or
        reads itself, ``server_path`` (the same folder as the RavenDB server sees it).
    """

    conn_name_attr = "backup_folder_conn_id"
    default_conn_name = "ravendb_backups"
    conn_type = "ravendb_backup_folder"
    hook_name = "RavenDB Backup Folder"

    def __init__(self, backup_folder_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backup_folder_conn_id = backup_folder_conn_id

    def get_conn(self) -> Destination:
        """The destination, not yet touched."""
        return open_destination(self.backup_folder_conn_id)

    def test_connection(self) -> tuple[bool, str]:
        """Write and remove a file there. The test runs in the API server, which may not see the workers' folders."""
        try:
            destination = self.get_conn()
            destination.check_writable()
            free = destination.free_bytes()
            space = f", {free / 2**30:.1f} GiB free" if free is not None else ""
            return True, f"{destination.identity} can be written{space}."
        except Exception as error:
            return False, str(error)


def open_destination(destination: str, server_path: str | None = None) -> Destination:
    """The destination an operator's argument names.

    :param destination: absolute path, ``file://`` URI, Connection id or ``scheme://connection_id@place/path``.
    :param server_path: the same folder as the RavenDB server sees it; overrides the Connection's.
    :raises ConfigurationError: it is none of these, or the Connection is incomplete.
    """
    text = str(destination or "").strip()
    if not text:
        raise ConfigurationError(
            "No destination given: an absolute path, a file:// URI, scheme://connection_id@place/path or the id of a "
            f"Connection ({', '.join(_connection_types())})."
        )
    if text.startswith("file:"):
        return _folder(_path_of_uri(text), server_path, f"Destination {text!r}")
    if text.startswith(("/", "\\\\")) or Path(text).is_absolute():
        return _folder(text, server_path, f"Destination {text!r}")
    if "://" in text:
        return _open_address(text, server_path)
    if "/" in text or "\\" in text:
        raise ConfigurationError(
            f"Destination {text!r} is a relative path, which would mean another folder on every worker. "
            "Give an absolute path, a file:// URI or a Connection id."
        )
    connection = BaseHook.get_connection(text)
    opener = _FOLDERS.get(connection.conn_type or "")
    if opener is not None:
        return opener(connection, server_path)
    store = next((s for s in STORES.values() if connection.conn_type in s.conn_types), None)
    if store is None:
        raise ConfigurationError(
            f"Connection {text!r} has type {connection.conn_type!r}, which cannot hold backups. "
            f"Types that can: {', '.join(_connection_types())}."
        )
    return _open_store(store, DestinationAddress("", text), connection, server_path)


@dataclass(frozen=True, slots=True)
class Store:
    """One kind of store that is reached through a provider hook of Airflow.

    :param module: module below hooks/ with ``open_store(address, connection) -> Destination``.
    :param conn_types: Connection types whose bare id means this store.
    :param extra: the extra of this package that brings the hook's provider.
    """

    module: str
    conn_types: tuple[str, ...]
    extra: str


#: By scheme of the address.
STORES: dict[str, Store] = {
    "azure": Store("storage_azure", ("wasb",), "azure"),
    "ftp": Store("storage_ftp", ("ftp",), "ftp"),
    "glacier": Store("storage_glacier", (), "amazon"),
    "s3": Store("storage_s3", ("aws",), "amazon"),
    "sftp": Store("storage_sftp", ("sftp", "ssh"), "sftp"),
    "wasb": Store("storage_azure", ("wasb",), "azure"),
}


def _open_address(text: str, server_path: str | None) -> Destination:
    address = parse_address(text)
    store = STORES.get(address.scheme)
    if store is None:
        raise ConfigurationError(
            f"There is no destination of kind {address.scheme!r}; there is: {', '.join(['file', *sorted(STORES)])}."
        )
    return _open_store(store, address, BaseHook.get_connection(address.conn_id), server_path)


def _open_store(
    store: Store, address: DestinationAddress, connection: Connection, server_path: str | None
) -> Destination:
    if server_path is not None:
        raise ConfigurationError(
            f"{address.where}: server_path is for folders, which the RavenDB server can see as well; remove it here."
        )
    try:
        module = import_module(f"{__package__}.{store.module}")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{address.where} needs the package {error.name!r} on this worker: "
            f"pip install 'raven-backup-provider[{store.extra}]'."
        ) from error
    opened: Destination = module.open_store(address.completed(connection), connection)
    return opened


def _connection_types() -> list[str]:
    return sorted({*_FOLDERS, *(kind for store in STORES.values() for kind in store.conn_types)})


def _open_folder(connection: Connection, server_path: str | None) -> Destination:
    extra = connection.extra_dejson
    where = f"Connection {connection.conn_id!r}"
    path = str(extra.get("path") or "").strip()
    if not path:
        raise ConfigurationError(f"{where} names no folder: fill in its field 'path'.")
    if not Path(path).is_absolute():
        raise ConfigurationError(f"{where}: path {path!r} is relative; give an absolute one.")
    require_mount = flag(extra.get("require_mount"), default=False, where=f"{where}: require_mount")
    return _folder(path, server_path or str(extra.get("server_path") or "").strip() or None, where, require_mount)


def _folder(path: str, server_path: str | None, where: str, require_mount: bool = False) -> Destination:
    from raven_backup_provider.destinations.folder import FolderDestination

    if "\x00" in path:
        raise ConfigurationError(f"{where}: a path cannot contain a zero character.")
    return FolderDestination(path, server_path=server_path or None, require_mount=require_mount)


def _path_of_uri(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ConfigurationError(f"Destination {uri!r} is not a file URI of this machine; write file:///folder.")
    if parts.query or parts.fragment:
        raise ConfigurationError(f"Destination {uri!r}: a file URI holds a path only.")
    return unquote(parts.path)


_FOLDERS: dict[str, Callable[[Connection, str | None], Destination]] = {
    RavenDBBackupFolderHook.conn_type: _open_folder,
    "fs": _open_folder,
}

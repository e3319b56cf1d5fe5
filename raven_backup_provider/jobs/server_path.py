"""Where a RavenDB server finds a folder of a destination: a path that it sees, or a store that it reaches by itself."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from raven_backup_provider.core.destination import Destination, ReadByServer, ServerStore
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.jobs.folder_view import BackupFolderView


@runtime_checkable
class SeenByServer(Protocol):
    """A destination on a file system that the worker and the server share."""

    def server_folder(self, prefix: str = "") -> str:
        """The folder ``prefix`` as the server sees it; ConfigurationError where no mapping is configured."""


def server_folder(destination: Destination | BackupFolderView, folder: str) -> str:
    """``folder`` (a key) as the server sees it.

    :raises ConfigurationError: the destination has no path that a server could see.
    """
    if isinstance(destination, BackupFolderView):
        return server_folder(destination.inner, destination.inner_key(folder + "/"))
    if not isinstance(destination, SeenByServer):
        raise ConfigurationError(
            f"{destination.identity} is no folder that a RavenDB server could read or write itself. Use a folder "
            "destination with server_path, or let the worker do it (engine or mode 'stream')."
        )
    return destination.server_folder(folder)


def restore_folder(destination: Destination | BackupFolderView, folder: str) -> str:
    """``folder`` (a key) as a server that restores from it must be told: a path, or the folder's name in the store.

    :raises ConfigurationError: the server can get at it in neither way.
    """
    if isinstance(destination, BackupFolderView):
        return restore_folder(destination.inner, destination.inner_key(folder + "/"))
    if isinstance(destination, ReadByServer):
        return destination.store_folder(folder)
    return server_folder(destination, folder)


def restore_store(destination: Destination | BackupFolderView) -> ServerStore | None:
    """The store a server reaches by itself; None: the folder is a path that it sees.

    :raises ConfigurationError: RavenDB cannot use the Connection's credentials.
    """
    if isinstance(destination, BackupFolderView):
        return restore_store(destination.inner)
    return destination.server_store() if isinstance(destination, ReadByServer) else None

"""The inventory as a file: replaced atomically, with the last good copy beside it, and read without ever raising.

A reader sees the old document or the new one, never half of one, whenever a writer is killed and however many write at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from pathlib import Path

from raven_backup_provider.core import inventory as inventories
from raven_backup_provider.core.errors import InventoryError
from raven_backup_provider.core.inventory import Inventory
from raven_backup_provider.core.names import database_folder

FILE_SUFFIX = ".databases.json"
LAST_GOOD_SUFFIX = ".last-good"
#: Seconds; a temporary file of that age was left by a killed writer.
_STALE_SECONDS = 3600
_ABSENT = "it does not exist"


def inventory_path(folder: Path, conn_id: str) -> Path:
    """The file of one server's inventory."""
    return folder / f"{database_folder(conn_id)}{FILE_SUFFIX}"


class InventoryFile:
    """One server's inventory in a file.

    :param path: where; its folder is made on the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_good = path.with_name(path.name + LAST_GOOD_SUFFIX)

    @property
    def where(self) -> str:
        """For messages."""
        return str(self.path)

    def read(self) -> Inventory:
        """The file, or its last good copy, or an empty inventory; why is among its problems."""
        found = _read(self.path)
        if isinstance(found, Inventory):
            return found
        copy = _read(self.last_good)
        if isinstance(copy, Inventory):
            return copy.with_problem(f"{self.path} cannot be used: {found}. Its last good copy is used instead.")
        if found == copy == _ABSENT:
            return Inventory().with_problem(
                f"{self.path} cannot be used: it does not exist, as the server's databases were never listed there. The DAG "
                "*databases of* lists them, and so does `raven-backup discover`."
            )
        return Inventory().with_problem(f"{self.path} cannot be used: {found}; and its last good copy: {copy}.")

    def earlier(self) -> Inventory:
        """The last good copy of before, or an empty inventory."""
        copy = _read(self.last_good)
        return copy if isinstance(copy, Inventory) else Inventory()

    def write(self, inventory: Inventory) -> None:
        """Write it, fsync and rename; what was there before, if it was good, becomes the last good copy.

        :raises InventoryError: the folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sweep()
            new = self._temporary(inventories.dump(inventory))
            self._keep_last_good()
            os.replace(new, self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise InventoryError(f"{self.path} cannot be written: {error.strerror or error}.") from error

    def _keep_last_good(self) -> None:
        if isinstance(_read(self.path), Inventory):
            os.replace(self._temporary(self.path.read_bytes()), self.last_good)

    def _temporary(self, data: bytes) -> str:
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".tmp", dir=self.path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, 0o644)  # the DAG processor often runs as another user than the worker
                file.write(data)
                file.flush()
                os.fsync(handle)
        except BaseException:
            os.unlink(name)
            raise
        return name

    def _sweep(self) -> None:
        ours = re.compile(rf"\.{re.escape(self.path.name)}\.\w+\.tmp")
        for entry in os.scandir(self.path.parent):
            if ours.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):  # another writer was quicker
                    if time.time() - entry.stat().st_mtime > _STALE_SECONDS:
                        os.unlink(entry.path)


def _read(path: Path) -> Inventory | str:
    """The inventory, or why there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(inventories.MAX_SIZE + 1)
        return inventories.load(data)
    except FileNotFoundError:
        return _ABSENT
    except OSError as error:
        return f"{error.strerror or error}"
    except InventoryError as error:
        return str(error)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

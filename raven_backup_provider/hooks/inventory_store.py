"""Where the inventories of servers are kept: in a folder that workers and DAG processor share, or else in Airflow Variables.

Owns the text that names the place: an absolute path (one file for each server Connection in it), or ``variable:<name>``
(one Variable ``<name>__<connection id>`` for each).
"""

from __future__ import annotations

import logging
from pathlib import Path

from raven_backup_provider.core import inventory as inventories
from raven_backup_provider.core.errors import ConfigurationError, InventoryError
from raven_backup_provider.core.inventory import Inventory, InventoryStore
from raven_backup_provider.core.inventory_file import InventoryFile, inventory_path

log = logging.getLogger(__name__)

VARIABLE_PREFIX = "variable:"
_LAST_GOOD = "__last_good"


def open_inventory(place: str, conn_id: str) -> InventoryStore:
    """The store of one server's inventory.

    :raises ConfigurationError: ``place`` is neither an absolute path nor ``variable:<name>``.
    """
    text = str(place or "").strip()
    if text.startswith(VARIABLE_PREFIX) and (name := text.removeprefix(VARIABLE_PREFIX).strip()):
        return InventoryVariable(f"{name}__{conn_id}")
    if not Path(text).is_absolute():
        raise ConfigurationError(
            f"The inventory's place {text!r} must be an absolute path of a folder, or {VARIABLE_PREFIX}<name of a Variable>."
        )
    return InventoryFile(inventory_path(Path(text), conn_id))


class InventoryVariable:
    """One server's inventory in an Airflow Variable, the last good copy in another one.

    :param key: of the Variable.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    @property
    def where(self) -> str:
        """For messages."""
        return f"Variable {self.key}"

    def read(self) -> Inventory:
        """The Variable, or the last good copy, or an empty inventory; one look-up if all is well."""
        found = _read(self.key)
        if isinstance(found, Inventory):
            return found
        copy = _read(self.key + _LAST_GOOD)
        if isinstance(copy, Inventory):
            return copy.with_problem(f"{self.where} cannot be used: {found}. Its last good copy is used instead.")
        return Inventory().with_problem(f"{self.where} cannot be used: {found}; and its last good copy: {copy}.")

    def earlier(self) -> Inventory:
        """The last good copy of before, or an empty inventory."""
        copy = _read(self.key + _LAST_GOOD)
        return copy if isinstance(copy, Inventory) else Inventory()

    def write(self, inventory: Inventory) -> None:
        """Set it; what was there before, if it was good, becomes the last good copy.

        :raises InventoryError: Airflow refuses.
        """
        from airflow.sdk import Variable

        before = _read(self.key)
        try:
            if isinstance(before, Inventory):
                Variable.set(self.key + _LAST_GOOD, inventories.dump(before).decode())
            Variable.set(self.key, inventories.dump(inventory).decode(), description="Written by database discovery")
        except Exception as error:
            raise InventoryError(f"{self.where} cannot be written: {type(error).__name__}: {error}") from error


def _read(key: str) -> Inventory | str:
    """The inventory, or why there is none."""
    from airflow.sdk import Variable

    try:
        text = Variable.get(key, default=None)
        return "it does not exist" if text is None else inventories.load(str(text).encode())
    except InventoryError as error:
        return str(error)
    except Exception as error:  # the API server or the secrets backend is down: a parse must go on
        return f"{type(error).__name__}: {error}"

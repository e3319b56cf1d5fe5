"""The inventory as parsing reads it: one local file (or one Variable, if chosen), and never an exception."""

from __future__ import annotations

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.inventory import Inventory
from raven_backup_provider.hooks.inventory_store import open_inventory


def read_inventory(place: str, conn_id: str) -> Inventory:
    """What is known of a server; empty, with the reason among its problems, where nothing can be read."""
    try:
        return open_inventory(place, conn_id).read()
    except ConfigurationError as error:
        return Inventory().with_problem(str(error))


def read_earlier(place: str, conn_id: str) -> Inventory:
    """What was known before the newest inventory."""
    try:
        return open_inventory(place, conn_id).earlier()
    except ConfigurationError:
        return Inventory()

"""``glacier://connection_id@vault/prefix?ledger=destination``: a vault of Amazon Glacier through Airflow's GlacierHook.

Owns the settings of that address. The Connection is of Airflow's type ``aws``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.glacier import GlacierHook

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations.aws_redaction import guard_logs
from raven_backup_provider.destinations.glacier import GlacierDestination
from raven_backup_provider.hooks.destination_address import DestinationAddress

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from raven_backup_provider.core.destination import Destination

_SETTINGS: dict[str, Callable[[str], Any]] = {
    "ledger": str,
    "part_mb": int,
    "workers": int,
    "bandwidth_mb": float,
}


def open_store(address: DestinationAddress, connection: Connection) -> Destination:
    """The destination of an address.

    :raises ConfigurationError: the vault is missing, or a setting is unknown or wrong.
    """
    if connection.conn_type != "aws":
        raise ConfigurationError(
            f"{address.where}: its Connection has type {connection.conn_type!r}; a vault needs 'aws'."
        )
    settings = {name: _setting(address, name, text) for name, text in address.settings.items()}
    ledger = settings.pop("ledger", None)
    guard_logs()
    client = GlacierHook(aws_conn_id=connection.conn_id).get_conn()
    place = _ledger(address, ledger) if ledger else None
    try:
        return GlacierDestination(client, address.place, prefix=address.path, ledger=place, **settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{address.where}: {error}") from None


def _setting(address: DestinationAddress, name: str, text: str) -> Any:
    read = _SETTINGS.get(name)
    if read is None:
        raise ConfigurationError(
            f"{address.where}: a vault has no setting {name!r}; it has {', '.join(_SETTINGS)}. Settings for S3 in the same "
            "Connection's extra do not fit a vault: use a Connection of its own."
        )
    try:
        return read(text)
    except ValueError:
        raise ConfigurationError(f"{address.where}: {name} must be a number, not {text!r}.") from None


def _ledger(address: DestinationAddress, ledger: str) -> Destination:
    from raven_backup_provider.hooks.storage import open_destination

    if ledger.startswith("glacier:"):
        raise ConfigurationError(f"{address.where}: a ledger must be readable at once; a vault cannot keep one.")
    return open_destination(ledger)

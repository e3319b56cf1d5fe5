"""Azure Blob Storage: from an Airflow Connection of type ``wasb`` to a destination.

The client is the one that ``WasbHook`` hands out, so every way of signing in that the hook knows works here: account key, SAS
token, connection string, client secret, managed or workload identity.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
from azure.core.exceptions import AzureError

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations.azure import AzureDestination
from raven_backup_provider.destinations.azure_access import AzureAccess, sas_access
from raven_backup_provider.destinations.azure_redaction import redact
from raven_backup_provider.destinations.azure_settings import read_settings
from raven_backup_provider.hooks.server_store import azure_store

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from azure.storage.blob import BlobServiceClient

    from raven_backup_provider.hooks.destination_address import DestinationAddress

_CONTAINER = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def open_store(address: DestinationAddress, connection: Connection) -> AzureDestination:
    """The destination ``wasb://connection_id@container/folder?setting=value``, not yet touched.

    :raises ConfigurationError: the container, a setting or the Connection is not possible.
    """
    if not _CONTAINER.fullmatch(address.place):
        found = f"container {address.place!r} is not possible" if address.place else "no container is named"
        raise ConfigurationError(
            f"{address.where}: {found}. Write wasb://{address.conn_id}@<container>/<folder>, or put 'place' into the object "
            "'raven_backup' of the Connection's extra. A container's name has 3 to 63 lower-case letters, digits and hyphens."
        )
    settings = read_settings(address.where, address.settings)
    client = _client(address.conn_id)
    return AzureDestination(
        client,
        address.place,
        address.path,
        settings=settings,
        access=access_of(connection),
        server_store=lambda: azure_store(address, connection),
    )


def _client(conn_id: str) -> BlobServiceClient:
    try:
        client: BlobServiceClient = WasbHook(wasb_conn_id=conn_id).get_conn()
    except (AzureError, AttributeError, TypeError, ValueError) as error:
        # The SDK quotes what it could not read, which may be the connection string.
        reason = redact(str(error)).split("\n", 1)[0][:200]
    else:
        return client
    raise ConfigurationError(
        f"Connection {conn_id!r} cannot be used for Azure Blob Storage: {reason}. It needs the account's name as login and its key "
        "as password, or a SAS token, a connection string or an identity in its extra (docs/destinations-azure.md)."
    )


def access_of(connection: Connection) -> AzureAccess:
    """How the Connection signs in: its kind, and what a SAS token allows and until when. No secrets."""
    extra = connection.extra_dejson
    told = {name.removeprefix("extra__wasb__"): str(value) for name, value in extra.items() if value}
    text = told.get("connection_string", "")
    signature = re.search(r"SharedAccessSignature=([^;]*)", text)
    token = signature[1] if signature else "" if text else told.get("sas_token", "")
    if token:
        return sas_access(token)
    if told.get("tenant_id"):
        return AzureAccess("the client id and secret of the Connection")
    if text or connection.password or told.get("shared_access_key") or told.get("account_key"):
        return AzureAccess("the account name and key of the Connection")
    return AzureAccess("the identity of this worker (the Connection names no credentials)")

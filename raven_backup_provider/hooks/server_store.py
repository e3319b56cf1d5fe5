"""How a RavenDB server reaches a store by itself, to restore from it: the Connection's own keys as RavenDB's settings.

The same settings as for RavenDB's own tasks (task_destinations.py); the endpoint and its style of addresses follow what our own
client does. What RavenDB cannot use (a role, an identity, an Azure host of its own) is refused here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk.log import mask_secret

from raven_backup_provider.core.destination import ServerStore
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.hooks.task_destinations import azure_settings, s3_settings
from raven_backup_provider.raven.redaction import secrets_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection

    from raven_backup_provider.hooks.destination_address import DestinationAddress

#: RavenDB makes the host's name from the account's and knows no other.
_AZURE_HOST = ".blob.core.windows.net"


def s3_store(address: DestinationAddress, connection: Connection) -> ServerStore:
    """A bucket.

    :param address: with the bucket; our own settings in it (parts, classes) mean nothing to RavenDB.
    :raises ConfigurationError: the Connection holds no access key of its own.
    """
    settings = dict(s3_settings(replace(address, settings={}), connection, "").settings)
    style = ((connection.extra_dejson.get("config_kwargs") or {}).get("s3") or {}).get("addressing_style")
    settings["ForcePathStyle"] = style != "virtual" if settings["CustomServerUrl"] else style == "path"
    return _store("S3", settings)


def azure_store(address: DestinationAddress, connection: Connection) -> ServerStore:
    """A container.

    :raises ConfigurationError: the Connection holds neither an account key nor a SAS token, or names a host that RavenDB does
        not know.
    """
    host = connection.host or ""
    name = urlsplit(host if "://" in host else f"//{host}").hostname or ""
    if "." in name and not name.endswith(_AZURE_HOST):
        raise ConfigurationError(
            f"Connection {connection.conn_id!r} names the host {name}, but RavenDB restores from <account>{_AZURE_HOST} only. "
            "Restore with mode 'stream'."
        )
    return _store("Azure", azure_settings(replace(address, settings={}), connection, "").settings)


def _store(kind: str, settings: Mapping[str, Any]) -> ServerStore:
    for secret in secrets_in(dict(settings)):
        mask_secret(secret)
    return ServerStore(kind, settings)

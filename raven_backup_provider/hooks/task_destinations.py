"""Where RavenDB's own backup tasks write: an address and its Airflow Connection as RavenDB's settings of that kind.

RavenDB connects to the place itself, so it is given the Connection's own keys; what it cannot do (assume a role, find
credentials on a machine, SFTP) is refused here rather than at three in the morning. Addresses are those of
destination_address.py. Every secret is masked in logs from here on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.names import database_folder
from raven_backup_provider.hooks.destination_address import DestinationAddress, parse_address
from raven_backup_provider.hooks.storage import RavenDBBackupFolderHook, open_destination
from raven_backup_provider.raven.redaction import secrets_in
from raven_backup_provider.raven.task_definition import (
    DestinationKind,
    TaskDestination,
    is_server_folder,
    server_folder,
)

if TYPE_CHECKING:
    from airflow.sdk import Connection

_FOLDER_TYPES = (RavenDBBackupFolderHook.conn_type, "fs")
#: How a Connection of the aws type says that its keys are to be fetched elsewhere.
_BORROWED_KEYS = ("role_arn", "assume_role_method", "profile_name", "session_kwargs", "credential_process")
_AZURE_IDENTITIES = ("tenant_id", "managed_identity_client_id", "workload_identity_tenant_id")


def task_destination(address: str, database: str | None) -> TaskDestination:
    """The settings for one place.

    :param address: an absolute path as the RavenDB server sees it, the id of a Connection (folder, aws, wasb, ftp), or
        ``scheme://connection_id@place/folder`` with s3, glacier, azure, ftp or ftps.
    :param database: whose task; its folder is appended, so that all databases may share a place. None for a server-wide task,
        where RavenDB does the same itself.
    :raises ConfigurationError: it is none of these, or RavenDB could not use that Connection.
    """
    text = address.strip()
    if is_server_folder(text):
        return server_folder(text, database)
    if "://" in text:
        parsed = parse_address(text)
        connection = BaseHook.get_connection(parsed.conn_id)
    else:
        connection = BaseHook.get_connection(text)
        if connection.conn_type in _FOLDER_TYPES:
            return _shared_folder(text, database)
        parsed = DestinationAddress(_scheme_of(connection), text)
    opener = _KINDS.get(parsed.scheme)
    if opener is None:
        raise ConfigurationError(f"{parsed.where}: {_unknown(parsed.scheme)}")
    found = opener(parsed.completed(connection), connection, database_folder(database) if database else "")
    for secret in secrets_in(dict(found.settings)):
        mask_secret(secret)
    return found


def _scheme_of(connection: Connection) -> str:
    return {"aws": "s3", "wasb": "azure", "ftp": "ftp", "sftp": "sftp"}.get(
        connection.conn_type or "", connection.conn_type or ""
    )


def _unknown(scheme: str) -> str:
    if scheme == "sftp":
        return (
            "RavenDB's own tasks know FTP and FTPS, but not SFTP. Have them write to a folder, or take the backups with the "
            "operators of this package, which copy to SFTP."
        )
    return f"RavenDB's own tasks cannot write to {scheme!r}; they can to a folder, s3, glacier, azure, ftp and ftps."


def _shared_folder(conn_id: str, database: str | None) -> TaskDestination:
    from raven_backup_provider.destinations.folder import FolderDestination

    destination = open_destination(conn_id)
    if not isinstance(destination, FolderDestination):
        raise ConfigurationError(f"Connection {conn_id!r} is no folder that a RavenDB server could see.")
    folder = database_folder(database) if database else ""
    path = destination.server_folder(folder)
    return TaskDestination(DestinationKind.LOCAL, path, {"Disabled": False, "FolderPath": path}, destination, folder)


# --- Amazon -------------------------------------------------------------------------------------------------------


def _aws_keys(connection: Connection, address: DestinationAddress, *, region: str | None) -> dict[str, Any]:
    extra, where = connection.extra_dejson, f"Connection {connection.conn_id!r}"
    borrowed = [name for name in _BORROWED_KEYS if extra.get(name)]
    if borrowed or not connection.login or not connection.password:
        why = (
            f"it says {', '.join(borrowed)}" if borrowed else "it holds no access key (login) and secret key (password)"
        )
        raise ConfigurationError(
            f"{where}: {why}. RavenDB connects itself and knows only keys of its own: make a Connection with the access key and "
            "secret key of a user that may write there, nothing else."
        )
    if not region:
        raise ConfigurationError(
            f'{where} names no region: put "region_name" into its extra, or ?region=... into {address.where}.'
        )
    return {
        "Disabled": False,
        "AwsAccessKey": connection.login,
        "AwsSecretKey": connection.password,
        "AwsSessionToken": extra.get("aws_session_token") or None,
        "AwsRegionName": region,
    }


def s3_settings(address: DestinationAddress, connection: Connection, folder: str) -> TaskDestination:
    """RavenDB's settings of a bucket; ``folder`` is appended to the address's path."""
    settings = _settings(address, "region", "endpoint", "path_style", "storage_class")
    bucket, extra = _place(address, "bucket"), connection.extra_dejson
    service = (extra.get("service_config") or {}).get("s3") or {}
    endpoint = settings.get("endpoint") or service.get("endpoint_url") or extra.get("endpoint_url")
    region = settings.get("region") or extra.get("region_name") or ("us-east-1" if endpoint else None)
    prefix = _joined(address.path, folder)
    body = {
        **_aws_keys(connection, address, region=region),
        "BucketName": bucket,
        "RemoteFolderName": prefix,
        "CustomServerUrl": endpoint,
        "ForcePathStyle": _switch(settings.get("path_style"), address),
    }
    if settings.get("storage_class"):
        body["StorageClass"] = settings["storage_class"]
    return TaskDestination(DestinationKind.S3, f"s3://{bucket}/{prefix or ''}", body)


def _glacier(address: DestinationAddress, connection: Connection, folder: str) -> TaskDestination:
    settings, vault = _settings(address, "region"), _place(address, "vault")
    region = settings.get("region") or connection.extra_dejson.get("region_name")
    prefix = _joined(address.path, folder)
    body = {
        **_aws_keys(connection, address, region=region),
        "VaultName": vault,
        "RemoteFolderName": prefix,
    }
    return TaskDestination(DestinationKind.GLACIER, f"glacier://{vault}/{prefix or ''}", body)


# --- Azure --------------------------------------------------------------------------------------------------------


def azure_settings(address: DestinationAddress, connection: Connection, folder: str) -> TaskDestination:
    """RavenDB's settings of a container; ``folder`` is appended to the address's path."""
    _settings(address)
    container, extra = _place(address, "container"), connection.extra_dejson
    where = f"Connection {connection.conn_id!r}"
    told = _connection_string(str(extra.get("connection_string") or ""))
    account = told.get("AccountName") or connection.login or _account_of(connection.host or "")
    key = told.get("AccountKey") or connection.password
    sas = told.get("SharedAccessSignature") or extra.get("sas_token")
    if not account:
        raise ConfigurationError(f"{where} names no storage account: put it into its login field.")
    if bool(key) == bool(sas):
        named = [name for name in _AZURE_IDENTITIES if extra.get(name)]
        why = "both an account key and a SAS token" if key else "neither an account key (password) nor extra.sas_token"
        hint = f"; {', '.join(named)} is nothing that RavenDB could use" if named else ""
        raise ConfigurationError(
            f"{where} holds {why}{hint}. RavenDB connects itself and needs exactly one of the two."
        )
    prefix = _joined(address.path, folder)
    body = {
        "Disabled": False,
        "StorageContainer": container,
        "RemoteFolderName": prefix,
        "AccountName": account,
        "AccountKey": key or None,
        "SasToken": str(sas).lstrip("?") if sas else None,
    }
    return TaskDestination(DestinationKind.AZURE, f"azure://{account}/{container}/{prefix or ''}", body)


def _account_of(host: str) -> str | None:
    name = (urlsplit(host).hostname or "") if "://" in host else host.partition("/")[0]
    return name.partition(".")[0] or None if ".blob." in name else None


def _connection_string(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): value for name, _, value in pairs}


# --- FTP ----------------------------------------------------------------------------------------------------------


def _ftp(address: DestinationAddress, connection: Connection, folder: str) -> TaskDestination:
    _settings(address)
    where = f"Connection {connection.conn_id!r}"
    if not connection.host or not connection.login:
        raise ConfigurationError(f"{where}: RavenDB needs the FTP server's host and a login.")
    if address.place:
        raise ConfigurationError(
            f"{address.where}: an FTP server has no bucket; write {address.scheme}://<connection id>@/<folder>."
        )
    port = f":{connection.port}" if connection.port else ""
    path = quote(_joined(address.path, folder) or "")
    url = f"{address.scheme}://{connection.host}{port}/{path}"
    certificate = connection.extra_dejson.get("certificate_base64")
    if address.scheme == "ftps" and not certificate:
        raise ConfigurationError(
            f"{where}: RavenDB takes FTPS with the server's certificate only: put its base64 text (DER) into the extra as "
            '"certificate_base64".'
        )
    body = {
        "Disabled": False,
        "Url": url,
        "UserName": connection.login,
        "Password": connection.password or "",
        "CertificateAsBase64": certificate or None,
    }
    return TaskDestination(DestinationKind.FTP, url, body)


# --- what they share ----------------------------------------------------------------------------------------------


def _place(address: DestinationAddress, what: str) -> str:
    if not address.place:
        raise ConfigurationError(
            f"{address.where} names no {what}: write {address.scheme}://{address.conn_id}@<{what}>/<folder>."
        )
    return address.place


def _settings(address: DestinationAddress, *known: str) -> Mapping[str, str]:
    unknown = sorted(set(address.settings) - set(known))
    if unknown:
        allowed = ", ".join(known) or "none"
        raise ConfigurationError(
            f"{address.where}: RavenDB's own tasks have no setting {', '.join(unknown)} there. Known: {allowed}."
        )
    return address.settings


def _switch(text: str | None, address: DestinationAddress) -> bool:
    if (text or "false").lower() not in ("true", "false"):
        raise ConfigurationError(f"{address.where}: path_style is true or false, not {text!r}.")
    return (text or "").lower() == "true"


def _joined(*parts: str) -> str | None:
    return "/".join(part.strip("/") for part in parts if part.strip("/")) or None


_Opener = Callable[["DestinationAddress", "Connection", str], TaskDestination]
_KINDS: dict[str, _Opener] = {
    "s3": s3_settings,
    "glacier": _glacier,
    "azure": azure_settings,
    "wasb": azure_settings,
    "ftp": _ftp,
    "ftps": _ftp,
}

"""From an Airflow Connection of type ``aws`` to an S3 destination, on the client that Airflow's own S3Hook hands out.

The Connection's ``config_kwargs`` hold as they stand; what they leave open is set for backups: time-outs of every request, and
for other services than AWS checksums only where a request needs one, since AWS's new default of a checksum trailer over
HTTPS is refused by several of them. Trying again is the destination's own work (s3_calls.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore import UNSIGNED  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations.aws_redaction import guard_logs
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_place import is_aws
from raven_backup_provider.destinations.s3_settings import read_settings
from raven_backup_provider.hooks.server_store import s3_store

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.hooks.destination_address import DestinationAddress

#: Seconds; a request that sends a part gets an answer soon after its last byte.
_TIME_OUTS = {"connect_timeout": 10, "read_timeout": 60}
_WHEN_REQUIRED = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
#: Beside the parts in flight a lease is renewed and the catalogue is read.
_SPARE_CONNECTIONS = 6


def open_store(address: DestinationAddress, connection: Connection) -> Destination:
    """The destination of an address.

    :raises ConfigurationError: no bucket is named, or a setting is wrong.
    """
    guard_logs()
    extra = connection.extra_dejson
    service = extra.get("service_config", {}).get("s3", {})
    bucket = address.place or str(service.get("bucket_name") or "").strip()
    if not bucket:
        raise ConfigurationError(
            f"{address.where} names no bucket: write s3://{address.conn_id}@bucket/prefix, or put "
            '{"raven_backup": {"place": "bucket", "path": "prefix"}} into the extra of the Connection.'
        )
    compatible = bool(service.get("endpoint_url") or extra.get("endpoint_url"))
    concurrency = read_settings(address.settings, address.where, aws=not compatible).concurrency

    def new_client() -> Any:
        config = _config(
            extra.get("config_kwargs") or {}, compatible=compatible, connections=concurrency + _SPARE_CONNECTIONS
        )
        return S3Hook(aws_conn_id=address.conn_id, config=config).get_conn()

    client = new_client()
    settings = read_settings(address.settings, address.where, aws=is_aws(client))
    return S3Destination(
        client,
        bucket,
        address.path,
        settings=settings,
        renew=new_client,
        server_store=lambda: s3_store(replace(address, place=bucket), connection),
    )


def _config(given: dict[str, Any], *, compatible: bool, connections: int) -> Config:
    """What the Connection gives, and what it leaves open."""
    defaults: dict[str, Any] = {
        **_TIME_OUTS,
        "tcp_keepalive": True,
        "max_pool_connections": connections,
        "retries": {"total_max_attempts": 1},
        **(_WHEN_REQUIRED if compatible else {}),
    }
    chosen = {**defaults, **given}
    if not compatible:
        # A part's CRC32 and TLS guard it already; hashing it again to sign it costs half a second of a core for each GB.
        chosen["s3"] = {"payload_signing_enabled": False, **(chosen.get("s3") or {})}
    if chosen.get("signature_version") == "unsigned":
        chosen["signature_version"] = UNSIGNED
    return Config(**chosen)

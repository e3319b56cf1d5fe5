"""How a backup operator's arguments, which templates render to text, become the request of a job, and its result a small dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import BackupType, ChainLimits, Compression, GuardMode, RequestedKind
from raven_backup_provider.jobs.backup_request import BackupRequest, BackupResult
from raven_backup_provider.jobs.server_backup import (
    ServerBackupHandle,
    ServerBackupRequest,
    cancel_server_backup,
    finish_server_backup,
    start_server_backup,
)
from raven_backup_provider.operators.arguments import choice, given, moment, positive, switch

if TYPE_CHECKING:
    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.operators.backup import RavenDBBackupOperator
    from raven_backup_provider.raven.transport import Transport


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one run."""

    encryption: EncryptionKey | None = field(default=None, repr=False)
    signing: bytes | None = field(default=None, repr=False)


def stream_request(operator: RavenDBBackupOperator, keys: Keys, run_token: str) -> BackupRequest:
    """The request of engine ``stream``.

    :raises ConfigurationError: an argument has a value it cannot have.
    """
    days = positive(operator.max_chain_age_days, "max_chain_age_days")
    length = positive(operator.max_chain_length, "max_chain_length")
    return BackupRequest(
        database=operator.hook().database(given(operator.database)),
        kind=choice(RequestedKind, operator.kind, "kind"),
        compression=choice(Compression, operator.compression, "compression"),
        guard_mode=choice(GuardMode, operator.tombstone_guard, "tombstone_guard"),
        limits=ChainLimits(
            int(length) if length else None, days * 86400 if days else None, moment(operator.full_due, "full_due")
        ),
        key=keys.encryption,
        signing_key=keys.signing,
        run_token=run_token,
        require_encryption=switch(operator.require_encryption, "require_encryption"),
        allow_plain_for_encrypted=switch(operator.allow_plain_text, "allow_plain_text"),
        allow_reduced_record=switch(operator.allow_reduced_record, "allow_reduced_record"),
    )


def server_request(operator: RavenDBBackupOperator, keys: Keys) -> ServerBackupRequest:
    """The request of engine ``server``.

    :raises ConfigurationError: an incremental is asked for.
    """
    if choice(RequestedKind, operator.kind, "kind") is RequestedKind.INCREMENTAL:
        raise ConfigurationError(
            "Engine 'server' writes full backups only. Use engine 'stream' for incrementals, or kind 'full'."
        )
    limit = positive(operator.max_read_ops_per_second, "max_read_ops_per_second")
    return ServerBackupRequest(
        database=operator.hook().database(given(operator.database)),
        backup_type=BackupType(operator.backup_type),
        key=keys.encryption,
        signing_key=keys.signing,
        require_encryption=switch(operator.require_encryption, "require_encryption"),
        max_read_ops=int(limit) if limit else None,
    )


class ServerBackupWork:
    """The server's backup job in the steps that operators/server_work.py drives."""

    def __init__(
        self,
        request: ServerBackupRequest,
        transport: Transport,
        destination: Destination,
        operator: RavenDBBackupOperator,
    ) -> None:
        self._request, self._transport, self._destination, self._operator = request, transport, destination, operator

    def start(
        self, remember: Callable[[Mapping[str, Any]], None], remembered: Mapping[str, Any] | None
    ) -> ServerBackupHandle:
        """Send the backup, or reconnect to the one an earlier try sent."""
        return start_server_backup(
            self._request, self._transport, self._destination, remember=remember, remembered=remembered
        )

    def load(self, handle: Mapping[str, Any]) -> ServerBackupHandle:
        """A handle from its JSON form."""
        return ServerBackupHandle.from_json(dict(handle))

    def sent(self, remembered: Mapping[str, Any]) -> ServerBackupHandle | None:
        """The backup that an earlier try says it sent."""
        return ServerBackupHandle.from_json(remembered) if remembered.get("step") == "sent" else None

    def finish(self, handle: ServerBackupHandle) -> dict[str, Any]:
        """Wait as long as it runs, then prove the file and write its manifest."""
        result = finish_server_backup(
            handle,
            self._request,
            self._transport,
            self._destination,
            cancel=self._operator.cancellation.event,
            poll_seconds=self._operator.poll_interval,
        )
        return result_summary(result, self._destination.identity)

    def cancel(self, handle: ServerBackupHandle, transport: Transport) -> None:
        """Kill the server's operation."""
        cancel_server_backup(handle, transport)


def result_summary(result: BackupResult, destination: str) -> dict[str, Any]:
    """What goes to XCom and into the asset event: references and counts, a few hundred bytes, nothing secret."""
    manifest = result.manifest
    return {
        "outcome": str(result.outcome),
        "database": manifest.database.name,
        "destination": destination,
        "key": result.key,
        "size": manifest.file.size,
        "sha256": manifest.file.sha256,
        "kind": str(manifest.kind),
        "type": str(manifest.type),
        "engine": str(manifest.engine),
        "reason": result.reason,
        "encrypted": manifest.encryption is not None,
        "counts": dict(manifest.counts),
        "started": _iso(manifest.started),
        "checked": _iso(result.checked),
        "warnings": list(manifest.warnings),
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")

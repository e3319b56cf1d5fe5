"""What is known of a backup that the server makes, in a form that survives a deferral or a killed worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import BackupType, DatabaseMark
from raven_backup_provider.raven.operations import Operation
from raven_backup_provider.raven.transport import Node


@dataclass(frozen=True, slots=True)
class ServerBackupRequest:
    """A one-time backup by the server itself.

    :param database: name of the database, in any letter case.
    :param backup_type: LOGICAL or SNAPSHOT; always a full one.
    :param key: encrypts a logical backup (licence); see jobs/encryption_rule.py for what it does otherwise.
    :param signing_key: sign and check manifests with it.
    :param require_encryption: refuse where the result would not be encrypted.
    :param max_read_ops: documents read per second at most, on servers that know the limit.
    :param reason: in words, for the manifest.
    :param run_token: identifies one run over its retries.
    :param allow_reduced_record: accept a certificate below database Admin.
    """

    database: str
    backup_type: BackupType = BackupType.LOGICAL
    key: EncryptionKey | None = field(default=None, repr=False)
    signing_key: bytes | None = field(default=None, repr=False)
    require_encryption: bool = False
    max_read_ops: int | None = None
    reason: str = ""
    run_token: str | None = None
    allow_reduced_record: bool = False


@dataclass(frozen=True, slots=True)
class ServerBackupHandle:
    """A backup that was (about to be) started.

    :param operation: None while it is only meant to be sent, or when its finished file was found instead.
    :param database: the name as the server spells it.
    :param node: the node that writes.
    :param folder: key of the database's folder at the destination.
    :param server_folder: the same as the server sees it.
    :param started: UTC, before the request.
    :param ticket: an operation number of the database on that node, below that of the backup.
    :param known_folders: backup folders that were there before.
    :param found: key of the finished file, where that was found without the operation.
    :param token: in the manifest, so that a retry finds the point.
    """

    operation: Operation | None
    database: str
    backup_type: BackupType
    node: Node
    folder: str
    server_folder: str
    started: datetime
    ticket: int
    known_folders: tuple[str, ...]
    mark: DatabaseMark
    collections: dict[str, int]
    token: str
    warnings: tuple[str, ...] = ()
    found: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object without secrets; what is remembered."""
        return {
            **asdict(self),
            "step": "intent" if self.operation is None and self.found is None else "sent",
            "operation": None if self.operation is None else self.operation.to_json(),
            "backup_type": self.backup_type.value,
            "started": self.started.isoformat(),
            "known_folders": list(self.known_folders),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServerBackupHandle:
        """The inverse of :meth:`to_json`.

        :raises ConfigurationError: it is no handle of this release.
        """
        try:
            fields = {name: item for name, item in value.items() if name != "step"}
            fields["operation"] = None if fields["operation"] is None else Operation.from_json(fields["operation"])
            fields["backup_type"] = BackupType(fields["backup_type"])
            fields["node"] = Node(**fields["node"])
            fields["mark"] = DatabaseMark(**fields["mark"])
            fields["started"] = datetime.fromisoformat(fields["started"])
            fields["known_folders"] = tuple(fields["known_folders"])
            fields["warnings"] = tuple(fields["warnings"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"The stored state of this backup cannot be read ({error}); it was made by another release. Clear the task."
            ) from error

"""What gets encrypted with which key: the table of design section 11, which is that of RavenDB's documentation."""

from __future__ import annotations

from dataclasses import dataclass

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.model import BackupType, Engine
from raven_backup_provider.raven.databases import DatabaseInfo

_NO_KEY = (
    "encryption is required, and no key is configured. Give one (operators: encryption_key_conn_id; command line: --key-conn or "
    "--key-file; make one with `raven-backup generate-key`)."
)


@dataclass(frozen=True, slots=True)
class ServerEncryption:
    """How the server is told to encrypt.

    :param provided_key: send the given key.
    :param database_key: use the encrypted database's own key.
    :param warning: what a human must know, None if all is as expected.
    """

    provided_key: bool
    database_key: bool
    warning: str | None = None

    @property
    def encrypted(self) -> bool:
        """True when the file will be encrypted."""
        return self.provided_key or self.database_key


def server_encryption(*, database_encrypted: bool, backup_type: BackupType, key_given: bool) -> ServerEncryption:
    """The engine ``server``'s row of the table."""
    if database_encrypted:
        ignored = (
            "the given key is not used: an encrypted database is backed up with its own key." if key_given else None
        )
        return ServerEncryption(provided_key=False, database_key=True, warning=ignored)
    if backup_type is BackupType.SNAPSHOT:
        plain = "THE SNAPSHOT IS NOT ENCRYPTED although a key was given: RavenDB encrypts snapshots of encrypted databases only."
        return ServerEncryption(provided_key=False, database_key=False, warning=plain if key_given else None)
    return ServerEncryption(provided_key=key_given, database_key=False)


def encryption_problems(
    info: DatabaseInfo,
    engine: Engine,
    backup_type: BackupType,
    key: EncryptionKey | None,
    *,
    require_encryption: bool,
    allow_plain_for_encrypted: bool = False,
) -> list[str]:
    """What the table forbids."""
    if engine is Engine.STREAM:
        if info.encrypted and key is None and not allow_plain_for_encrypted:
            return [
                f"database '{info.name}' is encrypted, and without a key its backup would be plain text. Configure an "
                "encryption key (make one with `raven-backup generate-key`), or allow plain text explicitly."
            ]
        if require_encryption and key is None:
            return [_NO_KEY]
        return []
    rule = server_encryption(database_encrypted=info.encrypted, backup_type=backup_type, key_given=key is not None)
    if not require_encryption or rule.encrypted:
        return []
    if backup_type is BackupType.SNAPSHOT:
        return [
            f"encryption is required, but a snapshot of '{info.name}' cannot be encrypted, because the database is not. Take a "
            "logical backup with a key, or encrypt the database."
        ]
    return [_NO_KEY]

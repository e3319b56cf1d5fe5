"""The keys that backups are encrypted and manifests are signed with, out of Airflow Connections or a secrets backend.

Owns the rule where a key may come from: the password field of a Connection and nowhere else, so that it is stored
encrypted, masked in logs, and in no DAG file, template field or XCom.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import EncryptionKeyError
from raven_backup_provider.core.signing import signing_key_from_base64


class RavenDBBackupKeyHook(BaseHook):
    """Read a key from the password of a Connection of any type.

    :param backup_key_conn_id: the Connection whose password is the base64 text of the key (32 bytes for encryption).
    """

    conn_name_attr = "backup_key_conn_id"
    default_conn_name = "ravendb_backup_key"
    conn_type = "ravendb_backup_key"
    hook_name = "RavenDB Backup Key"

    def __init__(self, backup_key_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backup_key_conn_id = backup_key_conn_id

    def get_conn(self) -> EncryptionKey:
        """The encryption key; same as :meth:`get_key`."""
        return self.get_key()

    def get_key(self) -> EncryptionKey:
        """The encryption key of 32 bytes.

        :raises EncryptionKeyError: the Connection has no password or it is not such a key.
        """
        text = self._password()
        try:
            key = EncryptionKey.from_base64(text)
        except EncryptionKeyError as error:
            raise EncryptionKeyError(f"Connection {self.backup_key_conn_id!r}: {error}") from None
        _mask(key.base64())
        return key

    def get_signing_key(self) -> bytes:
        """The key that signs manifests, at least 32 bytes.

        :raises EncryptionKeyError: missing, not base64 or too short.
        """
        text = self._password()
        try:
            return signing_key_from_base64(text)
        except EncryptionKeyError as error:
            raise EncryptionKeyError(f"Connection {self.backup_key_conn_id!r}: {error}") from None

    def test_connection(self) -> tuple[bool, str]:
        """Whether the password is a usable key; says its fingerprint, which manifests carry, never the key."""
        try:
            return True, f"A 32-byte encryption key with key id {self.get_key().key_id}."
        except Exception as error:
            return False, str(error)

    def _password(self) -> str:
        text = (self.get_connection(self.backup_key_conn_id).password or "").strip()
        if not text:
            raise EncryptionKeyError(
                f"Connection {self.backup_key_conn_id!r} has no password. Put the base64 text of the key there; "
                "`raven-backup generate-key` prints a new one."
            )
        _mask(text)
        return text


def _mask(text: str) -> None:
    mask_secret(text)
    # JSON, URLs and base64 alphabets write the same key differently.
    mask_secret(text.rstrip("="))

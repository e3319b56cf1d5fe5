"""Deleting one archive of a vault, and telling a missing right from a vault lock."""

from __future__ import annotations

from raven_backup_provider.core.errors import ProtectedFileError
from raven_backup_provider.destinations.glacier_errors import FAILURES, error_of, is_denied, is_missing
from raven_backup_provider.destinations.glacier_index import Entry
from raven_backup_provider.destinations.glacier_service import Vault


def delete_archive(vault: Vault, entry: Entry) -> None:
    """Delete it; one that is gone is no error.

    :raises ProtectedFileError: a vault lock forbids it; until when, the service does not say.
    """
    try:
        vault.request("delete_archive", archiveId=entry.archive_id)
    except FAILURES as error:
        if is_missing(error):
            return
        if is_denied(error) and _is_locked(vault):
            raise ProtectedFileError(
                f"'{entry.key}' in {vault.identity} cannot be deleted: the vault has a lock, whose policy decides when it can. "
                f"Its archive was made on {entry.created:%Y-%m-%d}.",
                None,
            ) from error
        raise error_of(error, f"cannot delete '{entry.key}'", vault.identity) from error


def _is_locked(vault: Vault) -> bool:
    try:
        return bool(vault.request("get_vault_lock").get("State") == "Locked")
    except FAILURES:
        return False  # no lock, or no right to look: then it is the missing right to delete that is reported

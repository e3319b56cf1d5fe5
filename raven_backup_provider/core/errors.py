"""Every error this package raises, one class for each decision a caller can take.

A message names the object, what was found and what to do. ``retryable`` says whether the very same call can
succeed later without a human changing anything; operators turn it into "retry" or "fail now" (operators/outcome.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar


class RavenBackupError(Exception):
    """Root of all errors of this package."""

    retryable: ClassVar[bool] = False


# --- asked for something that cannot be -------------------------------------------------------------------------


class ConfigurationError(RavenBackupError):
    """An argument, connection or setting is wrong; only a human can change it."""


class EncryptionKeyError(ConfigurationError):
    """A key is missing, malformed or not the one the file was encrypted with."""


class PreflightError(RavenBackupError):
    """Everything the pre-flight found wrong, in one message, before anything was written.

    :param problems: one sentence each: what is wrong and how to fix it.
    """

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{subject} cannot start:" + "".join(f"\n  - {problem}" for problem in self.problems))


# --- the RavenDB server -----------------------------------------------------------------------------------------


class ServerError(RavenBackupError):
    """The server answered with an error that has no class of its own."""


class ServerUnavailableError(ServerError):
    """No node answered, a time-out, a cut connection, or an answer that means "later" (502, 503, 429...)."""

    retryable = True


class StalledError(ServerUnavailableError):
    """A long operation made no progress for the stall time-out."""


class DatabaseNotFoundError(ServerError):
    """The database does not exist (or the certificate may not see it)."""


class DatabaseDisabledError(ServerError):
    """The database is disabled."""


class DatabaseBusyError(ServerError):
    """The database is loading, idle-waking or being restored."""

    retryable = True


class DatabaseNotOnNodeError(ServerError):
    """The node asked does not hold the database."""


class ShardedDatabaseError(ServerError):
    """Sharded databases have one etag sequence per shard; this package refuses them."""


class CertificateError(ServerError):
    """TLS failed, or the server knows no such client certificate."""


class ClearanceError(ServerError):
    """The certificate is known but may not do this."""


class LicenceError(ServerError):
    """The server's licence lacks a feature.

    :param flag: the name of the flag in ``GET /license/status``, such as ``HasSnapshotBackups``.
    """

    def __init__(self, message: str, flag: str) -> None:
        self.flag = flag
        super().__init__(message)


class BackupTaskNotFoundError(ServerError):
    """RavenDB has no backup task of that name; the message lists those there are."""


class ConflictError(ServerError):
    """The server refused because of a concurrent change (409) or because the name is taken."""


# --- server operations ------------------------------------------------------------------------------------------


class OperationFailedError(ServerError):
    """The server says the operation Faulted; the message carries its reason."""

    retryable = True


class OperationCanceledError(ServerError):
    """The operation was killed, here or on the server."""

    retryable = True


class OperationLostError(ServerError):
    """The server no longer knows the operation (node restarted, database reloaded): the outcome is unknown."""

    retryable = True


# --- making and reading backup files ------------------------------------------------------------------------------


class ExportRejectedError(RavenBackupError):
    """An export ended but fails the acceptance check, so no restore point was made from it."""

    retryable = True


class InterruptedBackupError(RavenBackupError):
    """The run was told to stop; the partial file is removed."""

    retryable = True


class CorruptBackupError(RavenBackupError):
    """A backup file is not what its manifest or its format says."""


class ManifestError(CorruptBackupError):
    """A manifest is unreadable, forged, too large, or of an unknown version."""


class BrokenChainError(CorruptBackupError):
    """Files of a chain are missing, swapped or do not continue each other."""


class CopiesDifferError(RavenBackupError):
    """Destinations do not hold what they should; the message lists what is missing or damaged where."""


class RestorePointNotFoundError(RavenBackupError):
    """Nothing restorable is there; the message lists what is."""


class RestoreRefusedError(RavenBackupError):
    """A restore that could destroy data is never sent (for example onto an existing database name)."""


class RestoreOutcomeUnknownError(RavenBackupError):
    """Whether a restore was carried out cannot be proven; it is never repeated blindly."""


class MassDeletionError(RavenBackupError):
    """A retention plan would delete a larger share of a database's chains than its policy allows; a human must confirm."""


# --- server-wide backup -------------------------------------------------------------------------------------------


class InventoryError(RavenBackupError):
    """A server's inventory of databases cannot be read or written."""

    retryable = True


class DiscoveryRefusedError(RavenBackupError):
    """A listing of databases that looks like a mistake; the inventory stays as it is until a human confirms."""


class OverdueError(RavenBackupError):
    """Backups or the inventory are older than they may be."""


# --- destinations -------------------------------------------------------------------------------------------------


class DestinationError(RavenBackupError):
    """A destination refused or failed."""

    retryable = True


class DestinationFullError(DestinationError):
    """No space left, or a quota is reached."""


class DestinationAccessError(DestinationError):
    """The destination does not exist or may not be read or written with these rights."""

    retryable = False


class MissingRightError(DestinationAccessError):
    """The credentials lack one right at the destination.

    :param right: its name as the store's policies spell it, such as ``s3:DeleteObject``.
    """

    def __init__(self, message: str, right: str) -> None:
        self.right = right
        super().__init__(message)


class FileExistsAtDestinationError(DestinationError):
    """A file of that name is there already; nothing is ever overwritten."""

    retryable = False


class FileMissingAtDestinationError(DestinationError):
    """The file asked for is not there."""

    retryable = False


class LockedError(DestinationError):
    """Another run works on the same database at the same destination."""

    retryable = True


class ArchivedFileError(DestinationError):
    """The file lies in an archive class or vault and must be retrieved before it can be read (core/destination.py:
    :class:`~raven_backup_provider.core.destination.Archiving`). The message says which tier and how long."""

    retryable = False


class RetrievalRunningError(ArchivedFileError):
    """The file's retrieval was asked for and is not finished; later the same call succeeds."""

    retryable = True


class SourceFailedError(RavenBackupError):
    """A file could not be read from one place, or is something else there than its manifest says; take another copy.

    :param cause: what was found there: :class:`CorruptBackupError`, :class:`ArchivedFileError` or what the place said.
    """

    def __init__(self, cause: RavenBackupError) -> None:
        self.cause = cause
        super().__init__(str(cause))


class SourceBrokeOffError(SourceFailedError):
    """The source failed in a way that may be gone later, so what was written so far is worth keeping."""

    retryable = True


class NoGoodCopyError(RavenBackupError):
    """No place could give a file whole; what it was wanted for was not changed.

    :param causes: (identity of the place, what was found there).
    """

    def __init__(self, file: str, causes: Sequence[tuple[str, RavenBackupError]]) -> None:
        self.causes = tuple(causes)
        told = " ".join(str(cause) for _, cause in self.causes) or "No source has it."
        super().__init__(f"{file} could not be copied: {told}")


class ProtectedFileError(DestinationAccessError):
    """The store refuses to delete the file before a date (object lock, immutability policy, legal hold).

    :param until: end of the protection in UTC; None: until somebody lifts it.
    """

    def __init__(self, message: str, until: datetime | None) -> None:
        self.until = until
        super().__init__(message)

"""Which errors end a task at once and which are worth another try: the whole table."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowFailException

from raven_backup_provider.core import errors
from raven_backup_provider.operators.outcome import Outcome, airflow_outcome, outcome_of

FAIL_NOW = {
    "BackupTaskNotFoundError",
    "MissingRightError",
    "OverdueError",
    "DiscoveryRefusedError",
    "ArchivedFileError",
    "BrokenChainError",
    "CertificateError",
    "ClearanceError",
    "ConfigurationError",
    "CopiesDifferError",
    "CorruptBackupError",
    "DatabaseDisabledError",
    "DatabaseNotFoundError",
    "EncryptionKeyError",
    "FileExistsAtDestinationError",
    "FileMissingAtDestinationError",
    "LicenceError",
    "ManifestError",
    "MassDeletionError",
    "NoGoodCopyError",
    "PreflightError",
    "ProtectedFileError",
    "RavenBackupError",
    "RestoreOutcomeUnknownError",
    "RestorePointNotFoundError",
    "RestoreRefusedError",
    "ShardedDatabaseError",
    "SourceFailedError",
}
RETRY = {
    "InventoryError",
    "ConflictError",
    "DatabaseBusyError",
    "DatabaseNotOnNodeError",
    "DestinationAccessError",
    "DestinationError",
    "DestinationFullError",
    "ExportRejectedError",
    "InterruptedBackupError",
    "LockedError",
    "OperationCanceledError",
    "OperationFailedError",
    "OperationLostError",
    "RetrievalRunningError",
    "ServerError",
    "ServerUnavailableError",
    "SourceBrokeOffError",
    "StalledError",
}
ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RavenBackupError)]


def make(kind: type[errors.RavenBackupError]) -> errors.RavenBackupError:
    if issubclass(kind, errors.PreflightError):
        return kind("The backup", ["what is wrong"])
    if issubclass(kind, errors.SourceFailedError):
        return kind(errors.CorruptBackupError("what is wrong"))
    if issubclass(kind, errors.NoGoodCopyError):
        return kind("shop/x", [("folder:/b", errors.CorruptBackupError("what is wrong"))])
    if issubclass(kind, errors.MissingRightError):
        return kind("what is wrong", "s3:GetObject")
    if issubclass(kind, errors.ProtectedFileError):
        return kind("what is wrong", None)
    return kind("what is wrong", "HasX") if issubclass(kind, errors.LicenceError) else kind("what is wrong")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_of_this_package_has_its_outcome(kind: type[errors.RavenBackupError]) -> None:
    expected = Outcome.FAIL_NOW if kind.__name__ in FAIL_NOW else Outcome.RETRY
    assert outcome_of(make(kind)) is expected
    assert (kind.__name__ in FAIL_NOW) != (kind.__name__ in RETRY), "decide on the new class here"


def test_fail_now_keeps_the_message_the_kind_and_the_cause() -> None:
    with pytest.raises(AirflowFailException, match="RestoreRefusedError: it exists") as caught, airflow_outcome():
        raise errors.RestoreRefusedError("it exists")
    assert isinstance(caught.value.__cause__, errors.RestoreRefusedError)


def test_a_retryable_error_reaches_airflow_as_it_is() -> None:
    with pytest.raises(errors.ServerUnavailableError, match="down"), airflow_outcome():
        raise errors.ServerUnavailableError("down")


def test_errors_of_others_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), airflow_outcome():
        raise ZeroDivisionError

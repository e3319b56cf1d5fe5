"""What an error of this package means to Airflow: fail now, or try again. The one table that decides it.

An error says itself whether the very same call can succeed later (core/errors.py); this table holds the exceptions from
that rule. Nothing is ever turned into "skipped": a backup that was not made must not look like one that was not due.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from airflow.sdk.exceptions import AirflowFailException

from raven_backup_provider.core import errors


class Outcome(Enum):
    """What Airflow shall do with the task."""

    FAIL_NOW = "fail now"
    RETRY = "retry"


#: Where the operator decides otherwise than ``error.retryable``; the first matching class counts.
OVERRIDES: tuple[tuple[type[errors.RavenBackupError], Outcome], ...] = (
    # Two concurrent changes of one database record: the later one succeeds when it is made again.
    (errors.ConflictError, Outcome.RETRY),
    # A volume that is not mounted yet, rights given late: people repair these while the retries run.
    (errors.DestinationAccessError, Outcome.RETRY),
    # Answers the error table has no class for: a proxy, a node that is starting, an internal error of the server.
    (errors.ServerError, Outcome.RETRY),
)
#: Subclasses of those above that no retry mends.
FINAL: tuple[type[errors.RavenBackupError], ...] = (
    errors.BackupTaskNotFoundError,
    errors.CertificateError,
    errors.ClearanceError,
    errors.DatabaseDisabledError,
    errors.DatabaseNotFoundError,
    errors.LicenceError,
    errors.MissingRightError,
    errors.ProtectedFileError,
    errors.ShardedDatabaseError,
)


def outcome_of(error: errors.RavenBackupError) -> Outcome:
    """Whether the task fails for good or is tried again, as far as it has retries left."""
    if error.retryable:
        return Outcome.RETRY
    if isinstance(error, FINAL):
        return Outcome.FAIL_NOW
    return next((outcome for kind, outcome in OVERRIDES if isinstance(error, kind)), Outcome.FAIL_NOW)


@contextmanager
def airflow_outcome() -> Iterator[None]:
    """Raise what the block raises, as Airflow understands it; a retryable error stays what it is."""
    try:
        yield
    except errors.RavenBackupError as error:
        if outcome_of(error) is Outcome.RETRY:
            raise
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error

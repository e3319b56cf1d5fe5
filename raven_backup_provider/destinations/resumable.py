"""When a writer that ends without a commit leaves what it wrote for the next try, which then need not send it again."""

from __future__ import annotations

from raven_backup_provider.core.errors import DestinationFullError, RavenBackupError


def worth_keeping(error: BaseException | None) -> bool:
    """Whether the same copy may be tried again after ``error``: a cut line, a stopped task. Not after "wrong content", nor on a
    full disk, where the leftover would keep others from writing."""
    if error is None or isinstance(error, DestinationFullError):
        return False
    if isinstance(error, RavenBackupError):
        return error.retryable
    return not isinstance(error, Exception)  # Ctrl-C, SIGTERM and Airflow's end of a task are no Exception

"""When a writer that ends without a commit leaves what it wrote for the next try, which then need not send it again; and for how
long that is kept from being swept."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from raven_backup_provider.core.errors import DestinationFullError, RavenBackupError


def worth_keeping(error: BaseException | None) -> bool:
    """Whether the same copy may be tried again after ``error``: a cut line, a stopped task. Not after "wrong content", nor on a
    full disk, where the leftover would keep others from writing."""
    if error is None or isinstance(error, DestinationFullError):
        return False
    if isinstance(error, RavenBackupError):
        return error.retryable
    return not isinstance(error, Exception)  # Ctrl-C, SIGTERM and Airflow's end of a task are no Exception


#: How long what an interrupted copy left is kept since it was last written to. As long as Azure keeps uncommitted blocks by itself:
#: a copy that nobody tried again for a week is not going to be.
KEPT_FOR = timedelta(days=7)


def is_abandoned(written: datetime | None) -> bool:
    """Whether the leftover of a copy is too old to be kept.

    :param written: when it was last written to (aware); None: the store does not say, so it could never be told. A clock that is
        off makes a copy send something again, or a leftover stay longer, no more.
    """
    return written is None or datetime.now(timezone.utc) - written > KEPT_FOR

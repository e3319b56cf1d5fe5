"""What the exit code of ``raven-backup`` means; scripts and schedulers decide by it whether to try again."""

from __future__ import annotations

from enum import IntEnum

from raven_backup_provider.core.errors import ConfigurationError, RavenBackupError


class ExitCode(IntEnum):
    """Interrupted runs end with 128 + the signal's number, as a shell would report them (130, 143)."""

    OK = 0
    #: It failed, or something was found wrong; repeating the same command will not help.
    FAILED = 1
    #: An argument, a Connection or a key is wrong.
    USAGE = 2
    #: It failed now, but the very same command can succeed later: a server or a disk that did not answer, a lock.
    TRY_AGAIN = 3


def exit_code_of(error: RavenBackupError) -> ExitCode:
    """The code for an error of this package."""
    if isinstance(error, ConfigurationError):
        return ExitCode.USAGE
    return ExitCode.TRY_AGAIN if error.retryable else ExitCode.FAILED

"""One call that carries out a restore plan and waits, in either mode. For the command line and operators that do not defer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.jobs.restore_model import RestoreMode, RestorePlan
from raven_backup_provider.jobs.restore_result import OnProgress, Remember, RestoreProgress, RestoreResult
from raven_backup_provider.jobs.restore_server import run_server_restore
from raven_backup_provider.jobs.restore_stream import run_stream_restore
from raven_backup_provider.raven.transport import Transport

__all__ = ["OnProgress", "Remember", "RestoreProgress", "RestoreResult", "run_restore"]


def _forget(state: dict[str, Any]) -> None:
    """For a caller without a store: a hard kill then needs a human, as every restore done by hand does."""


def run_restore(
    plan: RestorePlan,
    transport: Transport,
    destination: Destination,
    *,
    key: EncryptionKey | None = None,
    remember: Remember = _forget,
    remembered: Mapping[str, Any] | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    poll_seconds: float = 1.0,
) -> RestoreResult:
    """Restore and wait.

    :param destination: where the plan's files are; mode SERVER only takes from it how the server reaches them.
    :param remember: stores a state durably before it returns.
    :param remembered: what an earlier try of the same task stored last; delete it on success.
    :param cancel: when set, the restore is stopped and what it had made is removed.
    """
    if plan.mode is RestoreMode.SERVER:
        return run_server_restore(
            plan,
            transport,
            destination,
            key=key,
            remember=remember,
            remembered=remembered,
            cancel=cancel,
            on_progress=on_progress,
            poll_seconds=poll_seconds,
        )
    return run_stream_restore(
        plan,
        transport,
        destination,
        key=key,
        remember=remember,
        remembered=remembered,
        cancel=cancel,
        on_progress=on_progress,
        poll_seconds=poll_seconds,
    )

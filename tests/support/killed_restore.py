"""A restore in a process of its own that SIGKILLs itself at a chosen moment; what it remembers goes to a file.

``die``: ``before <n>`` or ``after <n>``: around the n-th ``remember``, ``progress <n>``: at the n-th progress report, ``sent``:
after the restore was sent, before its answer is remembered; ``never``.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.restore import RestoreProgress, RestoreResult, run_restore
from raven_backup_provider.jobs.restore_plan import plan_restore, remembered_plan
from raven_backup_provider.raven import restores
from raven_backup_provider.raven.transport import Transport, TransportSettings
from tests.support.short_lived_process import run_in_own_process


def run_killed(die: str, **arguments: Any) -> int:
    """Run the child; returns its exit code (-9: it died where it should)."""
    return run_in_own_process(_restore, {"die": die, **arguments})


def _restore(arguments: dict[str, Any]) -> None:
    restore_with_memory(**{**arguments, "memory": Path(arguments["memory"])})


def restore_with_memory(
    url: str,
    root: str,
    database: str,
    target: str,
    mode: str,
    memory: Path,
    *,
    key: str | None = None,
    point: str | None = None,
    die: str = "never",
    on_progress: Callable[[RestoreProgress], object] | None = None,
) -> RestoreResult:
    """Restore as an operator does: the stored plan first, and every state stored before going on."""
    what, _, number = die.partition(" ")
    counted = {"remember": 0, "progress": 0}

    def die_at(kind: str, reached: int) -> None:
        if what == kind and reached == int(number or 0):
            os.kill(os.getpid(), signal.SIGKILL)

    def remember(state: dict[str, Any]) -> None:
        counted["remember"] += 1
        die_at("before", counted["remember"])
        memory.write_text(json.dumps(state))
        die_at("after", counted["remember"])

    def progress(seen: RestoreProgress) -> None:
        if on_progress is not None:
            on_progress(seen)
        counted["progress"] += 1
        die_at("progress", counted["progress"])

    if what == "sent":
        start = restores.start_restore

        def start_and_die(*arguments: Any, **more: Any) -> Any:
            start(*arguments, **more)
            os.kill(os.getpid(), signal.SIGKILL)

        restores.start_restore = start_and_die  # type: ignore[assignment]

    encryption_key = EncryptionKey.from_base64(key) if key else None
    stored = json.loads(memory.read_text()) if memory.exists() else None
    destination = FolderDestination(root, server_path=root)
    with Transport(TransportSettings(urls=(url,))) as transport:
        plan = remembered_plan(stored, target=target) or plan_restore(
            destination, database, transport, target=target, mode=mode, key=encryption_key, point=point
        )
        return run_restore(
            plan,
            transport,
            destination,
            key=encryption_key,
            remember=remember,
            remembered=stored,
            on_progress=progress,
            poll_seconds=0.05,
        )

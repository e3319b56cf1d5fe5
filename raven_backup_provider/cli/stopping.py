"""Ctrl-C and SIGTERM: the job is told to stop, kills the server's operation and removes its partial file; then we end.

The job runs in a thread of its own and the main thread waits for it. A signal handler that talked to the server itself
could wait for a lock that the interrupted code holds; here it only notes the signal, and the waiting thread acts.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Generic, TypeVar

from raven_backup_provider.cli.output import say
from raven_backup_provider.jobs.cancellation import Cancellation

_T = TypeVar("_T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds between two looks at the signal flag; Python runs handlers in the main thread only while it is awake.
_LOOK = 0.2


class Stopped(Exception):
    """The run was ended by a signal; what it had started is cancelled and cleaned up."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"Stopped by {signal.Signals(number).name}.")


class _Outcome(Generic[_T]):
    value: _T
    error: BaseException | None = None


def run_stoppable(job: Callable[[Cancellation], _T]) -> _T:
    """Run ``job`` and hand back what it returns or raises.

    :raises Stopped: a signal came; the job was cancelled and has ended.
    """
    cancellation, outcome = Cancellation(), _Outcome[_T]()
    received: list[int] = []

    def work() -> None:
        try:
            outcome.value = job(cancellation)
        except BaseException as error:
            outcome.error = error

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            say("Stopped at once. A partial file may be left; the next backup removes it.")
            os._exit(128 + number)
        received.append(number)

    thread = threading.Thread(target=work, name="raven-backup-job", daemon=True)
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK)
            if received and not cancellation.requested:
                say(f"{signal.Signals(received[0]).name}: cancelling the server's operation and cleaning up ...")
                cancellation.cancel()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # A job that finished although it was told to stop has finished: its result counts.
    if received and outcome.error is not None:
        raise Stopped(received[0]) from outcome.error
    if outcome.error is not None:
        raise outcome.error
    return outcome.value

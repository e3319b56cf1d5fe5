"""Sends the parts of a file in a few threads while the next one is being filled, in as much memory as was agreed.

Whoever fills takes a buffer, which waits until one is free, and hands it over full. The first failure of a thread is raised
at the next call. The threads are daemons: a silent connection must not keep a killed task's process alive.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from raven_backup_provider.destinations.s3_parts import buffers_for

Done = TypeVar("Done")
#: (number of the part, its bytes) -> what became of it.
Send = Callable[[int, memoryview], Done]
_Job = tuple[int, bytearray, int]


class PartPipeline(Generic[Done]):
    """The parts of one file on their way.

    :param send: called in the threads.
    :param stop: set when nothing more shall be sent; ``send`` may look at it.
    """

    def __init__(self, send: Send[Done], workers: int, stop: threading.Event) -> None:
        self._send, self._workers, self._stop = send, workers, stop
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._free: list[bytearray] = []
        self._lent = 0
        self._failure: BaseException | None = None
        self._done: dict[int, Done] = {}
        self._threads: list[threading.Thread] = []

    def buffer(self, size: int) -> bytearray:
        """A buffer of at least ``size`` bytes, as soon as there may be one more."""
        allowed = buffers_for(size, self._workers)
        with self._changed:
            self._changed.wait_for(lambda: self._lent < allowed or self._failure is not None)
            self._raise_failure()
            self._lent += 1
            while self._free:
                found = self._free.pop()
                if len(found) >= size:
                    return found
        return bytearray(size)

    def submit(self, number: int, buffer: bytearray, length: int) -> None:
        """Send the first ``length`` bytes of a buffer as part ``number``; the buffer is not the caller's any more."""
        with self._changed:
            self._raise_failure()
        if len(self._threads) < min(self._workers, self._lent):
            thread = threading.Thread(target=self._work, name=f"s3-part-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((number, buffer, length))

    def give_back(self, buffer: bytearray) -> None:
        """Return a buffer that was not needed."""
        with self._changed:
            self._return(buffer)

    def finish(self) -> list[Done]:
        """Wait for all parts; what became of each, by number."""
        with self._changed:
            self._changed.wait_for(lambda: self._lent == 0 or self._failure is not None)
            self._raise_failure()
        self._end_threads()
        return [self._done[number] for number in sorted(self._done)]

    def end(self, seconds: float) -> bool:
        """Send nothing more and wait a while for what is under way; whether nothing is any more."""
        self._stop.set()
        self._end_threads()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            number, buffer, length = job
            try:
                if not self._stop.is_set() and self._failure is None:
                    with memoryview(buffer) as whole, whole[:length] as data:
                        done = self._send(number, data)
                    with self._changed:
                        self._done[number] = done
            except BaseException as failure:
                with self._changed:
                    self._failure = self._failure or failure
            finally:
                with self._changed:
                    self._return(buffer)

    def _return(self, buffer: bytearray) -> None:
        self._lent -= 1
        self._free.append(buffer)
        self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _end_threads(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)

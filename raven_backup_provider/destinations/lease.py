"""The right to write below a folder of a store that has no file locks: a small file that its holder keeps renewing.

Whoever dies stops renewing, and after :data:`LIFETIME` seconds without a renewal the lease may be taken over. Age is what
the *store* tells (its clock against the time it wrote the lease), never a comparison with this machine's clock. A holder that
could not renew in time stops its work instead of writing on beside a new holder: :class:`Lease.check` raises.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from raven_backup_provider.core.errors import DestinationError, LockedError

log = logging.getLogger(__name__)

LEASE_NAME = ".raven-backup.lease"
#: Seconds without a renewal after which a lease counts as left by a dead process.
LIFETIME = 120.0
#: Seconds between two renewals; three may fail before the lease is lost.
RENEW_EVERY = 30.0


def seconds_passed() -> float:
    """A clock that nobody sets, in seconds. Unlike ``time.monotonic`` it goes on while the machine sleeps, as the store's does."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # Linux only
    return time.monotonic() if boot is None else time.clock_gettime(boot)


@dataclass(frozen=True, slots=True)
class SeenLease:
    """A lease as the store holds it.

    :param text: what its holder wrote.
    :param age: seconds since it was last written, by the store's own clock.
    """

    text: str
    age: float


class LeaseStore(Protocol):
    """The few things a store must be able to do with the file of a lease."""

    #: All who want the lease use the same file, so that it may be another's by now; else each has one of its own.
    shared: bool

    def create(self, text: str) -> bool:
        """Write it if it does not exist, as one step; False if it exists."""

    def read(self) -> SeenLease | None:
        """None if it does not exist."""

    def renew(self, text: str) -> None:
        """Write it anew, so that its age starts from zero."""

    def remove(self) -> None:
        """Remove it; a missing one is no error."""


class Lease:
    """A lease that is held; renewed by a thread until :meth:`release`.

    :param since: when it was asked for: the store may have written it at once and answered late.
    """

    def __init__(
        self, store: LeaseStore, text: str, what: str, since: float, monotonic: Callable[[], float], every: float
    ) -> None:
        self._store, self._text, self._what = store, text, what
        self._monotonic, self._every = monotonic, every
        self._renewed = since
        self._lost: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="backup-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise if the lease may be somebody else's by now.

        :raises LockedError: it was lost.
        """
        if self._lost is None and self._monotonic() - self._renewed > LIFETIME:
            self._lost = "it could not be renewed in time"
        if self._lost is not None:
            raise LockedError(
                f"The right to write to {self._what} was lost: {self._lost}. Nothing was published; run it again."
            )

    def release(self) -> None:
        """Stop renewing and remove the lease, if it is still ours."""
        self._ended.set()
        self._thread.join()
        if self._lost is not None:
            return
        try:
            seen = self._store.read() if self._store.shared else None
            if not self._store.shared or (seen is not None and seen.text == self._text):
                self._store.remove()
        except DestinationError as error:
            log.warning("The lease of %s stays behind; it ends by itself in %d s. %s", self._what, LIFETIME, error)

    def _renew(self) -> None:
        pause = self._every - (self._monotonic() - self._renewed)  # the store may have been slow to give it
        while not self._ended.wait(max(0.0, pause)):
            pause = self._every
            begun = self._monotonic()  # the store's time starts later than this
            try:
                seen = self._store.read()
                if seen is None or seen.text != self._text:
                    self._lost = f"now held by {seen.text}" if seen else "it was removed"
                    return
                self._store.renew(self._text)
                self._renewed = begun
            except Exception as error:  # whatever it was: try again until the lifetime is over
                log.warning("The lease of %s could not be renewed: %s", self._what, error)


@contextmanager
def hold_lease(
    store: LeaseStore,
    what: str,
    *,
    monotonic: Callable[[], float] = seconds_passed,
    every: float = RENEW_EVERY,
) -> Iterator[Lease]:
    """Hold the lease for the length of the block.

    :param what: the folder in words, for errors.
    :raises LockedError: another run holds it.
    """
    text = f"process {os.getpid()} on {socket.gethostname()} ({secrets.token_hex(8)})"
    since = monotonic()
    if not store.create(text):
        seen = store.read()
        if seen is not None and seen.age <= LIFETIME:
            raise LockedError(
                f"Another run works on {what}: {seen.text}, last seen {seen.age:.0f} s ago. Wait for it or stop it; a lease "
                f"whose holder died ends {LIFETIME:.0f} s after it was last renewed."
            )
        if seen is not None:
            log.warning("Taking over the lease of %s from %s, which stopped renewing it.", what, seen.text)
        # Two that take over at once both remove and both create; only one of the creations succeeds.
        if seen is not None and (again := store.read()) is not None and again.text == seen.text:
            store.remove()
        since = monotonic()
        if not store.create(text):
            raise LockedError(f"Another run has just begun to work on {what}. Try again when it has ended.")
    lease = Lease(store, text, what, since, monotonic, every)
    try:
        yield lease
    finally:
        lease.release()

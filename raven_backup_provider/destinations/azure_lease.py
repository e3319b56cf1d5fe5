"""The right to write below a folder: Azure's own lease on a small hidden blob.

The service keeps its time: a lease that is not renewed for :data:`SECONDS` ends, whatever the clocks of the workers say, and
only one can hold it. So a killed holder blocks nobody for longer, and there is no moment at which two take over at once.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

from azure.storage.blob import BlobLeaseClient

from raven_backup_provider.core.errors import DestinationError, FileExistsAtDestinationError, LockedError
from raven_backup_provider.destinations.azure_errors import MISSING, Deed, Right
from raven_backup_provider.destinations.azure_place import AzurePlace

log = logging.getLogger(__name__)

FOLDER = ".raven-backup.leases"
#: Seconds after which a lease ends by itself; Azure allows 15 to 60.
SECONDS = 60
_HOLDER = "ravenbackupholder"
_ROUNDS = 5


class BlobLease:
    """A lease that is held; renewed by a thread until :meth:`end`.

    :param renew: renews it at the service.
    :param seconds: how long it lasts without a renewal.
    """

    def __init__(self, renew: Callable[[], object], what: str, seconds: float, since: float) -> None:
        self._renew, self._what, self._seconds = renew, what, seconds
        self._renewed = since
        self._lost: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="backup-azure-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise if somebody else may hold it by now.

        :raises LockedError: it was lost.
        """
        if self._lost is None and time.monotonic() - self._renewed > self._seconds:
            self._lost = "it could not be renewed in time"
        if self._lost is not None:
            raise LockedError(
                f"The right to write to {self._what} was lost: {self._lost}. Nothing was published; run it again."
            )

    def prove(self) -> None:
        """Ask the service whether it is still ours, and renew it. Time alone is no proof: it stands still in a suspended machine.

        :raises LockedError: it was lost.
        """
        self.check()
        begun = time.monotonic()
        try:
            self._renew()
            self._renewed = begun
        except LockedError as error:
            self._lost = str(error)
        except DestinationError as error:  # its time counts then
            log.warning("The lease of %s could not be looked at: %s", self._what, error)
        self.check()

    def end(self) -> bool:
        """Stop renewing; whether it is still ours."""
        self._ended.set()
        self._thread.join()
        with suppress(LockedError):
            self.check()
            return True
        return False

    def _keep(self) -> None:
        while not self._ended.wait(self._seconds / 4):
            begun = time.monotonic()  # the service's time starts later than this
            try:
                self._renew()
                self._renewed = begun
            except LockedError as error:
                self._lost = str(error)
                return
            except DestinationError as error:  # try again until its time is over
                log.warning("The lease of %s could not be renewed: %s", self._what, error)


@contextmanager
def hold(place: AzurePlace, prefix: str, *, seconds: int = SECONDS) -> Iterator[BlobLease]:
    """Hold the right to write below a folder for the length of the block.

    :raises LockedError: another run holds it.
    """
    what = f"'{prefix}' in {place.identity}" if prefix else place.identity
    key = f"{FOLDER}/{prefix}.lease" if prefix else f"{FOLDER}/.lease"
    client = BlobLeaseClient(place.blob(key), str(uuid.uuid4()))
    deed = place.calls.deed("lock", prefix, Right.WRITE)
    since = _acquire(place, key, client, deed, what, seconds)
    _sign(place, key, client)

    def renew() -> None:
        # The missing blob is the lost lease here: somebody broke it and deleted the blob.
        if place.calls.run(deed, _renewed, client, allow=MISSING, tries=1) is None:
            raise LockedError("it was removed")

    lease = BlobLease(renew, what, seconds, since)
    try:
        yield lease
    finally:
        if lease.end():
            _release(place, key, client)


def _renewed(client: BlobLeaseClient, **options: Any) -> bool:
    client.renew(**options)
    return True


def _acquired(client: BlobLeaseClient, seconds: int, **options: Any) -> bool:
    client.acquire(seconds, **options)
    return True


def _acquire(place: AzurePlace, key: str, client: BlobLeaseClient, deed: Deed, what: str, seconds: int) -> float:
    """Monotonic time from which the lease counts."""
    calls, blob = place.calls, place.blob(key)
    for _ in range(_ROUNDS):
        since = time.monotonic()
        try:
            if calls.run(deed, _acquired, client, seconds, allow=MISSING):
                return since
        except LockedError:
            raise LockedError(
                f"Another run works on {what}: {_holder(place, key)}. Wait for it or stop it; the lease of a dead run ends "
                f"{seconds} s after its last renewal."
            ) from None
        with suppress(FileExistsAtDestinationError):
            calls.run(deed, blob.upload_blob, b"", **place.settings.scope)
    raise LockedError(f"{what} is taken and left by other runs all the time; try again.")


def _holder(place: AzurePlace, key: str) -> str:
    with suppress(DestinationError):
        deed = place.calls.deed("look at", key, Right.READ)
        found = place.calls.run(deed, place.blob(key).get_blob_properties)
        named = [value for name, value in (found.metadata or {}).items() if name.lower() == _HOLDER] if found else []
        if named:
            return str(named[0])
    return "a process that has not signed yet"


def _sign(place: AzurePlace, key: str, client: BlobLeaseClient) -> None:
    """Say who holds it. Information; the lease itself counts."""
    since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    host = socket.gethostname().encode("ascii", "replace").decode()  # metadata travels as a header
    text = f"process {os.getpid()} on {host} since {since}"
    with suppress(DestinationError):
        deed = place.calls.deed("sign", key, Right.WRITE)
        place.calls.run(
            deed, place.blob(key).set_blob_metadata, {_HOLDER: text}, lease=client, tries=2, **place.settings.scope
        )


def _release(place: AzurePlace, key: str, client: BlobLeaseClient) -> None:
    """Delete the blob, which ends the lease; or end the lease alone where nothing can be deleted."""
    calls, blob = place.calls, place.blob(key)
    try:
        calls.run(calls.deed("delete", key, Right.DELETE), blob.delete_blob, lease=client, allow=MISSING, tries=2)
        return
    except DestinationError as error:
        refusal = error
    try:
        calls.run(calls.deed("unlock", key, Right.WRITE), client.release, allow=MISSING, tries=2)
    except DestinationError:
        log.warning("The lease of %s stays; it ends by itself in %d s. %s", key, SECONDS, refusal)

"""The right to write below a folder of a bucket, with no more rights than to write and to list.

Each run that wants it puts an object of its own into the folder of the lease and then lists that folder: whoever sees another
live one withdraws. Two cannot both see themselves alone, for the later of two writes is followed by a listing that holds
both. So it needs neither reading nor deleting nor conditional writes, only a store that lists what was just written, and that is
looked at. Age is the store's clock (``Date`` of the listing) against the store's time of writing. An empty object is a lease
that was given back by one who may not delete.
"""

from __future__ import annotations

import hashlib
import logging
import math
import random
import time
from collections.abc import Callable
from urllib.parse import quote, unquote

from raven_backup_provider.core.errors import DestinationError, LockedError, MissingRightError
from raven_backup_provider.destinations.lease import LIFETIME, SeenLease
from raven_backup_provider.destinations.s3_listing import Listed, list_objects
from raven_backup_provider.destinations.s3_place import INTERNAL, S3Place
from raven_backup_provider.destinations.s3_put import put_file, remove

log = logging.getLogger(__name__)

_TRIES = 4
#: Seconds that a store may take to list what was just written, and that one request may take while a lease is held.
_LISTED_WITHIN, _PATIENCE = 10.0, 20.0


class S3LeaseStore:
    """Implements :class:`~raven_backup_provider.destinations.lease.LeaseStore`.

    :param kind: what the right is for, such as ``leases``.
    :param what: the folder or file it is for.
    """

    shared = False

    def __init__(self, place: S3Place, kind: str, what: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._place = place
        mark = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:12]
        self._folder = f"{INTERNAL}/{kind}/{quote(what, safe='')[:100]}-{mark}/"
        self._sleep = sleep
        self._own: str | None = None
        self._lost: str | None = None

    def create(self, text: str) -> bool:
        """Take the right; False if somebody else has it or is about to."""
        for _ in range(_TRIES):
            if any(self._is_live(found) for found in self._others()):
                return False
            self._own = self._folder + quote(text, safe="")
            self._write(text)
            others = self._others_beside_own()
            if not any(self._is_live(found) for found in others):
                self._clean(others)
                return True
            self.remove()
            self._sleep(random.uniform(0.1, 1.5))  # noqa: S311 - two that came at once shall not meet again
        return False

    def read(self) -> SeenLease | None:
        """Our own while it holds, else another live one; None if there is none."""
        if self._lost is not None:
            return SeenLease(self._lost, 0.0)
        listed = self._listed()
        own = next((found for found in listed if found.name == self._own_name()), None)
        if own is not None and own.size > 0:
            if own.age <= LIFETIME:
                return SeenLease(self._text(own), own.age)
            return SeenLease("nobody, for it was not renewed in time", own.age)
        live = [found for found in listed if found.name != self._own_name() and self._is_live(found)]
        newest = min(live, key=lambda found: found.age, default=None)
        return SeenLease(self._text(newest), newest.age) if newest is not None else None

    def renew(self, text: str) -> None:
        """Write it anew, and look whether somebody took over meanwhile.

        :raises LockedError: somebody did.
        """
        self._write(text)
        live = next((found for found in self._others() if self._is_live(found)), None)
        if live is not None:
            self._lost = self._text(live)
            self.check()

    def check(self) -> None:
        """Raise if somebody is known to have taken over.

        :raises LockedError: somebody did.
        """
        if self._lost is not None:
            raise LockedError(f"{self._lost} took over the right to write in {self._place.identity}; run it again.")

    def remove(self) -> None:
        """Give our own back; another's is left alone (a dead one ends by its age)."""
        if self._own is None:
            return
        own, self._own = self._own, None
        if not self._place.findings.delete_denied:
            try:
                remove(self._place, own, patience=_PATIENCE)
                return
            except MissingRightError:
                self._place.findings.delete_denied = True
        put_file(self._place, own, b"", self._place.encryption(), replace=True, patience=_PATIENCE)

    def _write(self, text: str) -> None:
        assert self._own is not None  # noqa: S101 - for the type checker; create() sets it
        put_file(self._place, self._own, text.encode(), self._place.encryption(), replace=True, patience=_PATIENCE)

    def _listed(self) -> list[Listed]:
        found = list(list_objects(self._place, self._place.folder_name(self._folder.rstrip("/")), patience=_PATIENCE))
        if any(math.isnan(one.age) for one in found):
            raise DestinationError(
                f"{self._place.identity} tells no time (Date) with its answers, so the age of a lease cannot be told. "
                "Look for a proxy that removes it."
            )
        return found

    def _own_name(self) -> str | None:
        return self._place.object_name(self._own) if self._own is not None else None

    def _others(self) -> list[Listed]:
        return [found for found in self._listed() if found.name != self._own_name()]

    def _others_beside_own(self) -> list[Listed]:
        """The others, by a listing that shows our own too: one that does not is older than our write."""
        waited, pause = 0.0, 0.1
        while True:
            listed = self._listed()
            if any(found.name == self._own_name() and found.size > 0 for found in listed):
                return [found for found in listed if found.name != self._own_name()]
            if waited >= _LISTED_WITHIN:
                self.remove()
                raise DestinationError(
                    f"{self._place.identity} does not list what was written {waited:.0f} s ago. On such a store two runs cannot be "
                    "kept apart, so nothing was written. Look whether a cache stands in front of it."
                )
            self._sleep(pause)
            waited, pause = waited + pause, pause * 2

    def _is_live(self, found: Listed) -> bool:
        return found.size > 0 and found.age <= LIFETIME

    def _text(self, found: Listed) -> str:
        return unquote(found.name.rpartition("/")[2])

    def _clean(self, others: list[Listed]) -> None:
        """Remove what dead runs left."""
        for found in others:
            if found.size > 0:
                log.warning(
                    "Taking over %s from %s, which stopped renewing its lease.", self._place.identity, self._text(found)
                )
            if self._place.findings.delete_denied:
                continue
            try:
                remove(self._place, self._place.key_of(found.name), patience=_PATIENCE)
            except MissingRightError:
                self._place.findings.delete_denied = True
            except DestinationError as error:
                log.info("An old lease stays behind: %s", error)

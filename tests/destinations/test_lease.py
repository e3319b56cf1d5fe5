"""The lease that stands for the right to write where there are no file locks."""

from __future__ import annotations

import threading
import time

import pytest

from raven_backup_provider.core.errors import DestinationError, LockedError
from raven_backup_provider.destinations.lease import LIFETIME, Lease, SeenLease, hold_lease


class Store:
    """A store with one place for one lease."""

    shared = True

    def __init__(self) -> None:
        self.text: str | None = None
        self.age = 0.0
        self.renewals = 0
        self.broken = False
        self._lock = threading.Lock()

    def create(self, text: str) -> bool:
        with self._lock:
            if self.text is not None:
                return False
            self.text, self.age = text, 0.0
            return True

    def read(self) -> SeenLease | None:
        if self.broken:
            raise DestinationError("the store is down")
        return None if self.text is None else SeenLease(self.text, self.age)

    def renew(self, text: str) -> None:
        self.text, self.age = text, 0.0
        self.renewals += 1

    def remove(self) -> None:
        self.text = None


def wait_for_renewals(store: Store, more: int) -> None:
    wanted, deadline = store.renewals + more, time.monotonic() + 60
    while store.renewals < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def check_for(lease: Lease, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        lease.check()
        time.sleep(0.005)


def test_a_second_holder_is_refused_and_told_who_holds_it() -> None:
    store = Store()
    with hold_lease(store, "'shop'"):
        with pytest.raises(LockedError, match=r"'shop': process \d+ on"), hold_lease(store, "'shop'"):
            pass
        assert store.text is not None
    assert store.text is None


def test_a_machine_that_slept_longer_than_a_lease_lasts_has_lost_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # time.monotonic() stands still meanwhile.
    real = time.clock_gettime
    with hold_lease(Store(), "x") as lease:
        lease.check()
        monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + LIFETIME + 1)
        with pytest.raises(LockedError, match="could not be renewed in time"):
            lease.check()


def test_it_is_renewed_as_long_as_it_is_held() -> None:
    store = Store()
    with hold_lease(store, "x", every=0.01):
        wait_for_renewals(store, 3)
    count = store.renewals
    time.sleep(0.05)
    assert store.renewals == count


def test_one_that_is_not_renewed_any_more_is_taken_over() -> None:
    store = Store()
    store.create("process 1 on dead")
    store.age = LIFETIME + 1
    with hold_lease(store, "x"):
        assert store.text is not None
        assert "dead" not in store.text
    assert store.text is None


def test_a_holder_that_lost_it_is_stopped_and_leaves_the_new_holders_alone() -> None:
    store = Store()
    with hold_lease(store, "'shop'", every=0.01) as lease:
        lease.check()
        store.text = "process 2 on other"
        with pytest.raises(LockedError, match="process 2 on other"):
            check_for(lease, seconds=60)
    assert store.text == "process 2 on other"


def test_a_holder_that_cannot_renew_in_time_is_stopped() -> None:
    store, now = Store(), [0.0]
    with hold_lease(store, "x", monotonic=lambda: now[0], every=0.01) as lease:
        store.broken = True
        now[0] = LIFETIME - 1
        lease.check()
        now[0] = LIFETIME + 1
        with pytest.raises(LockedError, match="could not be renewed"):
            lease.check()
        store.broken = False


class SlowStore(Store):
    """Writes at once and answers late: 100 s by the clock of the test. Down after the first renewal, or before."""

    def __init__(self, *, down_at_once: bool = False) -> None:
        super().__init__()
        self.now = 0.0
        self.down_at_once = down_at_once

    def create(self, text: str) -> bool:
        made = super().create(text)
        self.now += 100
        self.broken = self.down_at_once
        return made

    def renew(self, text: str) -> None:
        super().renew(text)
        self.broken = True  # this renewal is the last
        self.now += 100


def test_the_time_a_store_took_to_answer_is_gone() -> None:
    store = SlowStore(down_at_once=True)
    with hold_lease(store, "x", monotonic=lambda: store.now) as lease:
        lease.check()
        store.now += LIFETIME - 99  # the store counts one second more than the lifetime
        with pytest.raises(LockedError, match="could not be renewed in time"):
            lease.check()


def test_so_it_is_when_it_is_renewed_which_is_done_at_once_if_it_is_late() -> None:
    store = SlowStore()
    with hold_lease(store, "x", monotonic=lambda: store.now, every=LIFETIME / 2) as lease:
        deadline = time.monotonic() + 10
        while store.now < 200:  # both answers have come
            assert time.monotonic() < deadline
            time.sleep(0.005)
        store.now += LIFETIME - 99
        with pytest.raises(LockedError, match="could not be renewed in time"):
            lease.check()
        store.broken = False

"""What a listing makes of the inventory: nothing leaves by mistake, and what is gone stays as long as its backups."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from raven_backup_provider.core.errors import DiscoveryRefusedError
from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry
from raven_backup_provider.core.inventory_changes import FORGET_AFTER, Changes, SeenDatabase, next_inventory

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
T1 = T0 + timedelta(hours=1)


def known(**states: str) -> Inventory:
    return Inventory("c", "u", T0, tuple(InventoryEntry(n, DatabaseState(s), T0) for n, s in sorted(states.items())))


def listed(*names: str, **changes: bool) -> list[SeenDatabase]:
    return [SeenDatabase(name, **changes) for name in names]


def states(found: Inventory) -> dict[str, str]:
    return {entry.name: str(entry.state) for entry in found.entries}


def test_new_databases_join_and_what_is_known_keeps_its_time() -> None:
    found, changes = next_inventory(known(a="online"), listed("a", "b"), now=T1)
    assert states(found) == {"a": "online", "b": "online"}
    assert [entry.since for entry in found.entries] == [T0, T1]
    assert changes.added == ("b",)
    assert found.read == T1


def test_nothing_new_is_no_change() -> None:
    found, changes = next_inventory(known(a="online"), listed("a"), now=T1)
    assert not changes
    assert found.entries == known(a="online").entries


def test_a_dropped_database_stays_as_dropped() -> None:
    found, changes = next_inventory(known(a="online", b="online"), listed("a"), now=T1, has_backups=lambda name: True)
    assert states(found) == {"a": "online", "b": "dropped"}
    assert changes.dropped == ("b",)
    again, changes = next_inventory(found, listed("a"), now=T1 + timedelta(days=90), has_backups=lambda name: True)
    assert states(again) == {"a": "online", "b": "dropped"}
    assert not changes


@pytest.mark.parametrize(("backups", "state"), [(True, "dropped"), (None, "dropped"), (False, "gone")])
def test_until_no_backup_of_it_is_left_for_certain(backups: bool | None, state: str) -> None:
    found, changes = next_inventory(
        known(a="online", b="dropped"), listed("a"), now=T1, has_backups=lambda name: backups
    )
    assert states(found)["b"] == state
    assert changes.gone == (("b",) if state == "gone" else ())
    assert changes.unknown == (("b",) if backups is None else ())


def test_it_is_seen_as_dropped_at_least_once_even_if_it_never_had_a_backup() -> None:
    found, _ = next_inventory(known(a="online", b="online"), listed("a"), now=T1, has_backups=lambda name: False)
    assert states(found)["b"] == "dropped"


def test_and_then_forgotten_but_not_while_a_task_of_it_may_run() -> None:
    gone = known(a="online", b="gone")
    before, _ = next_inventory(gone, listed("a"), now=T0 + FORGET_AFTER - timedelta(seconds=1))
    after, _ = next_inventory(gone, listed("a"), now=T0 + FORGET_AFTER)
    assert states(before) == {"a": "online", "b": "gone"}
    assert states(after) == {"a": "online"}


@pytest.mark.parametrize("was", ["dropped", "gone"])
def test_a_database_made_again_is_online_again(was: str) -> None:
    found, changes = next_inventory(known(a=was), listed("A"), now=T1)
    assert states(found) == {"A": "online"}
    assert found.entries[0].since == T1
    assert changes.added == ("A",)


def test_renamed_in_letter_case_only_it_stays_one() -> None:
    found, changes = next_inventory(known(Shop="online"), listed("SHOP"), now=T1)
    assert states(found) == {"SHOP": "online"}
    assert found.entries[0].since == T0
    assert changes == Changes(renamed=(("Shop", "SHOP"),))


def test_disabled_databases_stay_with_their_state() -> None:
    found, changes = next_inventory(known(a="online"), listed("a", disabled=True), now=T1)
    assert states(found) == {"a": "disabled"}
    assert found.entries[0].since == T1
    assert changes.state_changed == ("a: disabled",)


def test_whether_the_database_is_encrypted_is_kept() -> None:
    found, _ = next_inventory(Inventory(), listed("a", encrypted=True), now=T1)
    assert found.entries[0].encrypted


def test_sharded_ones_and_our_own_temporary_ones_are_left_out_with_a_reason() -> None:
    seen = listed("a") + listed("s", sharded=True) + listed("raven-backup-reservation-01", "raven-backup-drill-x")
    found, _ = next_inventory(Inventory(), seen, now=T1)
    assert states(found) == {"a": "online"}
    assert {one.name: one.reason for one in found.skipped} == {
        "s": "sharded, which this package does not support",
        "raven-backup-reservation-01": "a temporary database of this package",
        "raven-backup-drill-x": "a temporary database of this package",
    }


def test_a_database_that_is_just_being_deleted_stays_what_it_was() -> None:
    seen = listed("a") + listed("b", "new", deleting=True)
    found, changes = next_inventory(known(a="online", b="disabled"), seen, now=T1)
    assert states(found) == {"a": "online", "b": "disabled"}
    assert [one.name for one in found.skipped] == ["new"]
    assert not changes


@pytest.mark.parametrize("seen", [[], listed("s", sharded=True), listed("raven-backup-reservation-01")])
@pytest.mark.parametrize("before", [Inventory(), known(a="online")])
def test_an_empty_list_is_refused(before: Inventory, seen: list[SeenDatabase]) -> None:
    with pytest.raises(DiscoveryRefusedError, match="no database that could be backed up"):
        next_inventory(before, seen, now=T1)


def test_more_than_half_at_once_is_refused_and_named() -> None:
    before = known(a="online", b="disabled", c="online", d="dropped")
    with pytest.raises(DiscoveryRefusedError, match=r"2 of 3 known databases are not listed any more: b, c"):
        next_inventory(before, listed("a", "new1", "new2"), now=T1)


def test_half_of_them_may_go() -> None:
    found, _ = next_inventory(known(a="online", b="online"), listed("a"), now=T1)
    assert states(found) == {"a": "online", "b": "dropped"}


def test_a_confirmed_list_is_taken_as_it_is() -> None:
    found, changes = next_inventory(known(a="online", b="online"), [], now=T1, confirmed=True)
    assert states(found) == {"a": "dropped", "b": "dropped"}
    assert changes.dropped == ("a", "b")


def test_problems_of_the_old_document_are_not_carried_on() -> None:
    found, _ = next_inventory(known(a="online").with_problem("was broken"), listed("a"), now=T1)
    assert found.problems == ()

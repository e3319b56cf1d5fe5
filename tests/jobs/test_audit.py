"""Audits and healing: what is told of each destination, what is refilled from where, and what is never touched. No server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    ConfigurationError,
    CopiesDifferError,
    DestinationError,
    InterruptedBackupError,
    LockedError,
    RestorePointNotFoundError,
)
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.core.patience import Patience
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest, AuditRun, State, parse_since
from raven_backup_provider.jobs.audit_report import AuditReport
from raven_backup_provider.jobs.copy_steps import CopyStep
from raven_backup_provider.jobs.verify import Sample, verify
from tests.core.builders import T0
from tests.support.fault_destination import Fault, FaultDestination, breaks, denied, fails, full
from tests.support.made_chain import MadeChain, contents, make_chain, points

QUICK = Patience(tries=2, first=0.01, longest=0.01)
RUN = AuditRun(reading=QUICK, writing=QUICK)


@pytest.fixture
def a(tmp_path: Path) -> FaultDestination:
    """The primary."""
    return FaultDestination(FolderDestination(tmp_path / "a", create=True))


@pytest.fixture
def b(tmp_path: Path) -> FaultDestination:
    return FaultDestination(FolderDestination(tmp_path / "b", create=True))


@pytest.fixture
def c(tmp_path: Path) -> FaultDestination:
    return FaultDestination(FolderDestination(tmp_path / "c", create=True))


@pytest.fixture
def chain(a: FaultDestination, b: FaultDestination, c: FaultDestination) -> MadeChain:
    """A chain of three files that all three have."""
    made = make_chain(3)
    put_everywhere(made, a, b, c)
    return made


def put_everywhere(chain: MadeChain, *places: FaultDestination) -> None:
    for place in places:
        chain.put(place.inner)


def look(*places: FaultDestination, run: AuditRun = RUN, **request: Any) -> AuditReport:
    return audit(places, AuditRequest(**request), run)


def states(report: AuditReport, place: FaultDestination) -> list[str]:
    """The words of one destination, file by file."""
    return [row.cells[place.identity].word if place.identity in row.cells else "-" for row in report.rows]


def damage(place: FaultDestination, key: str, content: bytes | None = None) -> None:
    path = Path(place.inner.local_path(key))  # type: ignore[attr-defined]
    old = path.read_bytes()
    path.write_bytes(old[:-1] + bytes([old[-1] ^ 1]) if content is None else content)


def lose(place: FaultDestination, chain: MadeChain, *numbers: int) -> None:
    keys = [chain.key_of(n) for n in numbers or range(len(chain.manifests))]
    place.inner.delete([key for one in keys for key in (manifest_name(one), one)])


# --- what is told -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
def test_destinations_that_hold_the_same_are_fine(
    a: FaultDestination, b: FaultDestination, chain: MadeChain, deep: bool
) -> None:
    report = look(a, b, deep=deep)
    assert (report.ok, report.faults(), report.healed) == (True, [], 0)
    assert states(report, a) == states(report, b) == 3 * ["present"]
    assert report.bytes_read == (2 * sum(m.file.size for m in chain.manifests) if deep else 0)
    report.raise_if_bad()


def _remove_data(place: FaultDestination, chain: MadeChain) -> None:
    place.inner.delete([chain.key_of(1)])


def _remove_manifest(place: FaultDestination, chain: MadeChain) -> None:
    place.inner.delete([manifest_name(chain.key_of(1))])


def _cut(place: FaultDestination, chain: MadeChain) -> None:
    damage(place, chain.key_of(1), b"cut")


def _flip(place: FaultDestination, chain: MadeChain) -> None:
    damage(place, chain.key_of(1))


def _break_manifest(place: FaultDestination, chain: MadeChain) -> None:
    damage(place, manifest_name(chain.key_of(1)), b"{")


def _exchange(place: FaultDestination, chain: MadeChain) -> None:
    lose(place, chain)
    make_chain(3, size=4000).put(place.inner)


TROUBLES: dict[str, tuple[Callable[[FaultDestination, MadeChain], None], State, bool]] = {
    "lost": (lambda place, chain: lose(place, chain, 1), State.MISSING, True),
    "data lost": (_remove_data, State.MISSING, True),
    "manifest lost": (_remove_manifest, State.UNPROVEN, True),
    "cut": (_cut, State.DAMAGED, True),
    "flipped": (_flip, State.DAMAGED, True),
    "manifest damaged": (_break_manifest, State.DAMAGED, True),
    "exchanged": (_exchange, State.FOREIGN, False),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("where", ["a", "b"], ids=["primary", "copy"])
def test_each_trouble_is_told_by_destination_and_file(
    a: FaultDestination, b: FaultDestination, chain: MadeChain, trouble: str, where: str
) -> None:
    spoil, state, _ = TROUBLES[trouble]
    place = {"a": a, "b": b}[where]
    spoil(place, chain)
    # The first destination that proves a file decides, so one that exchanged its files makes the other look foreign.
    told, other = (b, a) if trouble == "exchanged" else (place, b if place is a else a)
    report = look(a, b, deep=trouble == "flipped")
    assert states(report, told)[1] == state
    assert states(report, other) == 3 * ["present"]
    assert not report.ok
    with pytest.raises(CopiesDifferError, match=chain.manifests[1].file.name):
        report.raise_if_bad()


def test_a_flipped_byte_needs_a_deep_audit(a: FaultDestination, b: FaultDestination, chain: MadeChain) -> None:
    _flip(b, chain)
    assert look(a, b).ok
    assert look(a, b).bytes_read == 0
    assert not look(a, b, deep=True).ok


def test_rolling_samples_find_every_flipped_byte(a: FaultDestination, b: FaultDestination, chain: MadeChain) -> None:
    _flip(b, chain)
    found = [look(a, b, deep=True, sample=Sample(n, 3)) for n in (1, 2, 3)]
    assert [report.ok for report in found].count(False) == 1
    assert sum(report.bytes_read for report in found) == look(a, b, deep=True).bytes_read


def test_the_table_tells_alike_files_in_one_line_and_the_json_each(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    lose(b, chain, 2)
    report = look(a, b)
    table = report.table().splitlines()
    assert table[:2] == [f"[1] {a.identity}", f"[2] {b.identity}"]
    assert [line.split() for line in table[2:5]] == [
        ["DATABASE", "CHAIN", "FILES", "[1]", "[2]"],
        ["shop", chain.name, "2", "files", "present", "present"],
        ["shop", chain.name, chain.manifests[2].file.name, "present", "missing"],
    ]
    document = json.loads(json.dumps(report.to_json()))
    assert document["ok"] is False
    assert document["rows"][2]["destinations"][b.identity]["state"] == "missing"
    assert document["destinations"][1]["counts"] == {"present": 2, "missing": 1}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("list_folders", fails(text="no route"), times=99),
        Fault("list_files", denied(), times=99),
        Fault("open_read", breaks(ConnectionResetError("reset")), times=99),
    ],
    ids=["down", "no list", "reset"],
)
@pytest.mark.parametrize("heal", [False, True])
def test_a_destination_that_is_down_is_told_and_the_others_are_audited(
    a: FaultDestination, b: FaultDestination, c: FaultDestination, chain: MadeChain, fault: Fault, heal: bool
) -> None:
    lose(c, chain, 2)
    b.faults = [fault]
    report = look(a, b, c, heal=heal)
    assert states(report, b) == 3 * ["unreachable"]
    assert states(report, c)[2] == ("present (healed)" if heal else "missing")
    assert b.identity in report.unreachable
    with pytest.raises(DestinationError if heal else CopiesDifferError) as told:
        report.raise_if_bad()
    assert told.value.retryable is heal  # all that is left may be gone at the next try


def test_a_destination_that_fails_while_it_is_read_does_not_cost_the_patience_for_every_file(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    longer = make_chain(10, days=1)
    put_everywhere(longer, a, b)
    b.faults = [Fault("open_read", fails(), data=True, times=999)]
    report = look(a, b, deep=True)
    assert set(states(report, b)) == {"unreachable"}
    assert states(report, a) == 13 * ["present"]
    assert b.calls["open_read"] == 13 + 3 * QUICK.tries  # the manifests, then three files


def test_an_archived_file_is_there_but_was_not_read(a: FaultDestination, b: FaultDestination, chain: MadeChain) -> None:
    b.faults = [Fault("open_read", fails(ArchivedFileError, "in DEEP_ARCHIVE"), data=True, times=99)]
    report = look(a, b, deep=True)
    assert states(report, b) == 3 * ["archived"]
    assert report.ok


def test_nothing_anywhere_is_an_error_not_a_good_audit(a: FaultDestination, b: FaultDestination) -> None:
    with pytest.raises(RestorePointNotFoundError, match="nothing was audited"):
        look(a, b)
    put_everywhere(make_chain(1), a)
    with pytest.raises(RestorePointNotFoundError, match="other"):
        look(a, b, database="other")
    with pytest.raises(ConfigurationError):
        look()


def test_all_databases_are_compared_whatever_the_letter_case_of_their_folders(
    a: FaultDestination, b: FaultDestination
) -> None:
    chains = [make_chain(2), make_chain(1, database="orders")]
    for chain in chains:
        put_everywhere(chain, a)
    put_everywhere(chains[0], b)
    for key, content in {manifest_name(chains[1].key_of(0)): b"", chains[1].key_of(0): b""}.items():
        content = contents(a)[key]
        b.inner.put(key.replace("orders", "ORDERS", 1), content)
    report = look(a, b)
    assert [row.database for row in report.rows] == ["orders", "shop", "shop"]
    assert report.ok
    assert [row.database for row in look(a, b, database="SHOP").rows] == ["shop", "shop"]


def test_files_of_others_beside_the_chains_are_no_fault(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    b.inner.put("shop/README.txt", b"mine")
    b.inner.put(f"shop/{chain.name}/notes.txt", b"mine")
    assert look(a, b).ok


def test_a_file_that_nobody_can_prove_is_told(a: FaultDestination, b: FaultDestination, chain: MadeChain) -> None:
    for place in (a, b):
        place.inner.delete([manifest_name(chain.key_of(2))])
    report = look(a, b, heal=True)
    assert states(report, a) == states(report, b) == ["present", "present", "unproven"]


def test_a_gap_everywhere_is_told_at_the_files_behind_it(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    for place in (a, b):
        lose(place, chain, 1)
    report = look(a, b, heal=True)
    assert states(report, b) == ["present", "damaged"]
    assert chain.manifests[1].file.name in report.faults()[0]


def test_unsigned_manifests_are_damage_where_a_signing_key_is_given(a: FaultDestination, b: FaultDestination) -> None:
    signed, key = make_chain(2, signing_key=b"s" * 32), EncryptionKey.generate()
    put_everywhere(signed, a)
    signed.signing_key = None
    put_everywhere(signed, b)
    assert key is not None
    report = look(a, b, signing_key=b"s" * 32)
    assert (states(report, a), states(report, b)) == (2 * ["present"], 2 * ["damaged"])
    assert look(a, b, signing_key=b"s" * 32, heal=True).ok
    assert contents(a) == contents(b)


# --- healing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [name for name, (_, _, healed) in TROUBLES.items() if healed])
@pytest.mark.parametrize("where", ["a", "b"], ids=["primary", "copy"])
def test_each_trouble_is_healed_from_a_good_copy(
    a: FaultDestination, b: FaultDestination, c: FaultDestination, chain: MadeChain, trouble: str, where: str
) -> None:
    place = {"a": a, "b": b}[where]
    whole = contents(c)
    TROUBLES[trouble][0](place, chain)
    report = look(a, b, c, heal=True, deep=trouble == "flipped")
    assert report.ok
    assert states(report, place)[1] == "present (healed)"
    assert (report.healed, contents(place)) == (1, whole)
    assert verify(place, "shop").ok
    again = look(a, b, c, heal=True, deep=True)
    assert (again.ok, again.healed) == (True, 0)


def test_what_is_right_there_is_not_sent_again(a: FaultDestination, b: FaultDestination, chain: MadeChain) -> None:
    _remove_manifest(b, chain)
    assert look(a, b, heal=True).ok
    assert list(b.sent) == [manifest_name(chain.key_of(1))]


def test_a_destination_that_was_down_for_a_week_is_caught_up_the_oldest_chain_first(
    a: FaultDestination, b: FaultDestination
) -> None:
    chains = [make_chain(2, days=day) for day in range(8)]
    put_everywhere(chains[0], a, b)
    for chain in chains[1:]:
        put_everywhere(chain, a)
    report = look(a, b, heal=True)
    assert report.ok
    assert report.healed == 14
    assert [key for key in b.sent if not key.endswith(".json")] == [c.key_of(n) for c in chains[1:] for n in (0, 1)]
    assert contents(a) == contents(b)


def test_what_the_copys_own_retention_removed_is_not_brought_back(a: FaultDestination, b: FaultDestination) -> None:
    chains = [make_chain(2, days=day) for day in range(5)]
    for chain in chains:
        put_everywhere(chain, a)
    for chain in (chains[2], chains[4]):
        put_everywhere(chain, b)
    report = look(a, b, heal=True)
    assert report.ok
    assert states(report, b) == 4 * ["not kept"] + 2 * ["present"] + 2 * ["present (healed)"] + 2 * ["present"]
    assert points(b) == [chain.key_of(n) for chain in chains[2:] for n in (0, 1)]


def test_a_chain_that_retention_was_stopped_deleting_is_not_brought_back(
    a: FaultDestination, b: FaultDestination
) -> None:
    chains = [make_chain(2, days=day) for day in range(3)]
    for chain in chains:
        put_everywhere(chain, a, b)
    mark = f"shop/{chains[0].name}/2026-03-01-12-00-00.deleting.json"
    b.inner.put(mark, b"{}")
    b.inner.delete([manifest_name(chains[0].key_of(n)) for n in (0, 1)])
    report = look(a, b, heal=True)
    assert report.ok
    assert states(report, b)[:2] == ["not kept", "not kept"]
    assert points(b) == [chain.key_of(n) for chain in chains[1:] for n in (0, 1)]


def test_since_says_what_belongs_there_whatever_the_oldest_chain_is(a: FaultDestination, b: FaultDestination) -> None:
    chains = [make_chain(1, days=day) for day in range(4)]
    for chain in chains:
        put_everywhere(chain, a)
    put_everywhere(chains[2], b)
    assert look(a, b, heal=True, since=T0 + timedelta(days=1)).ok
    assert points(b) == [chain.key_of(0) for chain in chains[1:]]
    put_everywhere(make_chain(1, days=9), a)
    report = look(a, b, heal=True, since=T0 + timedelta(days=20))
    assert states(report, b)[-1] == "not kept"


def test_a_destination_with_nothing_of_the_database_is_filled_only_on_request(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    """It may be a network path that is not mounted."""
    b.inner.delete(chain.keys)
    report = look(a, b, heal=True)
    assert states(report, b) == 3 * ["missing"]
    assert "since" in report.faults()[0]
    assert b.sent == {}
    assert look(a, b, heal=True, since=T0).ok
    assert contents(a) == contents(b)


def test_a_damaged_file_that_is_the_only_one_is_left_as_it_is(a: FaultDestination, b: FaultDestination) -> None:
    chain = make_chain(2)
    put_everywhere(chain, a)
    chain.put(b.inner, 0)
    _flip(a, chain)
    before = contents(a)
    report = look(a, b, heal=True, deep=True)
    assert states(report, a) == ["present", "damaged"]
    assert "no other destination has a good copy" in " ".join(report.faults())
    assert contents(a) == before


def test_a_file_damaged_everywhere_is_deleted_nowhere(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    for place in (a, b):
        _flip(place, chain)
    before = contents(a), contents(b)
    # Shallow sees nothing; a deep audit of one sample finds one of them, and the other only when it is read as a source.
    for request in ({"deep": True}, {}):
        report = look(a, b, heal=True, **request)
        assert (contents(a), contents(b)) == before
    assert report.ok  # the shallow one


def test_a_source_that_turns_out_damaged_while_it_is_copied_is_healed_too(
    a: FaultDestination, b: FaultDestination, c: FaultDestination, chain: MadeChain
) -> None:
    _flip(a, chain)
    lose(b, chain, 1)
    report = look(a, b, c, heal=True)
    assert report.ok
    assert (states(report, a)[1], states(report, b)[1]) == ("present (healed)", "present (healed)")
    assert contents(a) == contents(b) == contents(c)


def test_a_damaged_file_is_deleted_only_after_the_good_copy_was_read(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    _cut(b, chain)
    a.faults = [Fault("read", fails(), data=True, key=chain.manifests[1].file.name, times=99)]
    before = contents(b)
    report = look(a, b, heal=True)
    assert states(report, b)[1] == "damaged"
    assert contents(b) == before
    a.faults = []
    assert look(a, b, heal=True).ok


def test_foreign_files_are_never_touched(a: FaultDestination, b: FaultDestination, chain: MadeChain) -> None:
    other = make_chain(2, size=4000)
    lose(b, chain)
    other.put(b.inner)
    before = contents(b)
    report = look(a, b, heal=True, deep=True)
    assert states(report, b) == ["foreign", "foreign", "missing"]
    assert contents(b) == before


def test_a_chain_that_went_on_another_way_is_not_mixed(a: FaultDestination, b: FaultDestination) -> None:
    """The primary lost its last file and went on without it; the copy still has it. Both restore; together they would not."""
    chain = make_chain(3)
    chain.add(after=1)
    chain.put(a.inner, 0, 1, 3)
    chain.put(b.inner, 0, 1, 2)
    before = contents(a), contents(b)
    report = look(a, b, heal=True)
    assert states(report, a) == ["present", "present", "-", "present"]
    assert states(report, b) == ["present", "present", "foreign", "missing"]
    assert (contents(a), contents(b)) == before
    assert verify(a, "shop").ok
    assert verify(b, "shop").ok


def test_a_locked_destination_is_told_and_to_be_tried_again(
    a: FaultDestination, b: FaultDestination, c: FaultDestination, chain: MadeChain
) -> None:
    lose(b, chain, 2)
    lose(c, chain, 2)
    with FolderDestination(Path(b.inner.local_path(""))).exclusive("shop"):  # type: ignore[attr-defined]
        report = look(a, b, c, heal=True)
    assert (states(report, b)[2], states(report, c)[2]) == ("missing", "present (healed)")
    with pytest.raises(DestinationError, match="Another run") as told:
        report.raise_if_bad()
    assert told.value.retryable


@pytest.mark.parametrize(
    "fault",
    [
        Fault("exclusive", fails(LockedError), times=99),
        Fault("open_write", denied(), times=99),
        Fault("write", full(), times=99),
        Fault("commit", fails(), times=99),
        Fault("put", fails(), times=99),
        Fault("delete", fails(), times=99),
        Fault("delete", fails(), call=2, times=99),
        Fault("delete", denied(), times=99),
        Fault("write", changes=True, times=99),
    ],
    ids=[
        "locked",
        "denied",
        "full",
        "commit",
        "manifest",
        "delete",
        "delete data",
        "no right to delete",
        "other bytes",
    ],
)
def test_after_a_target_that_failed_at_any_place_of_a_healing_the_next_audit_finishes(
    a: FaultDestination, b: FaultDestination, c: FaultDestination, chain: MadeChain, fault: Fault
) -> None:
    _cut(b, chain)
    lose(c, chain, 0)
    b.faults = [fault]
    whole = contents(a)
    report = look(a, b, c, heal=True)
    assert not report.ok
    assert states(report, c)[0] == "present (healed)"
    assert {key: value for key, value in contents(b.inner).items() if key in points(b.inner)}.items() <= whole.items()
    b.faults = []
    assert look(a, b, c, heal=True).ok
    assert contents(b) == whole


def test_what_retention_removes_between_the_look_and_the_lock_stays_removed(
    a: FaultDestination, b: FaultDestination
) -> None:
    chains = [make_chain(2, days=day) for day in range(3)]
    for chain in chains:
        put_everywhere(chain, a, b)
    lose(b, chains[0], 1)

    def prune() -> None:
        lose(b, chains[0], 0)

    b.faults = [Fault("exclusive", prune)]
    report = look(a, b, heal=True)
    assert report.ok
    assert states(report, b)[:2] == ["not kept", "not kept"]
    assert points(b) == [chain.key_of(n) for chain in chains[1:] for n in (0, 1)]


def test_a_destination_emptied_between_the_look_and_the_lock_is_not_filled(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    lose(b, chain, 2)
    b.faults = [Fault("exclusive", lambda: b.inner.delete(chain.keys))]
    assert not look(a, b, heal=True).ok
    assert contents(b) == {}


def test_of_two_audits_that_heal_at_once_the_second_finds_nothing_to_do(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    _flip(b, chain)
    b.faults = [Fault("exclusive", lambda: _mend(a, b))]

    def _mend(good: FaultDestination, bad: FaultDestination) -> None:
        damage(bad, chain.key_of(1), contents(good)[chain.key_of(1)])

    report = look(a, b, heal=True, deep=True)
    assert states(report, b)[1] == "present"
    assert b.calls["delete"] == 0
    assert b.sent == {}


def test_a_point_younger_than_the_grace_time_may_still_be_on_its_way(
    a: FaultDestination, b: FaultDestination, chain: MadeChain
) -> None:
    lose(b, chain, 2)
    now = chain.manifests[2].finished + timedelta(minutes=30)
    run = AuditRun(reading=QUICK, writing=QUICK, clock=lambda: now)
    report = look(a, b, run=run, grace=timedelta(hours=1))
    assert (report.ok, states(report, b)[2]) == (True, "not yet")
    assert not look(a, b, run=run, grace=timedelta(minutes=10)).ok
    assert states(look(a, b, run=run, grace=timedelta(hours=1), heal=True), b)[2] == "present (healed)"


def test_an_audit_told_to_stop_stops_and_leaves_restore_points_or_nothing(
    a: FaultDestination, b: FaultDestination
) -> None:
    chains = [make_chain(2, days=day) for day in range(3)]
    put_everywhere(chains[0], a, b)
    for chain in chains[1:]:
        put_everywhere(chain, a)
    cancel, reached = threading.Event(), []

    def stop(step: CopyStep) -> None:
        reached.append(step)
        if reached.count(CopyStep.OPEN_FILE) == 3:
            cancel.set()

    with pytest.raises(InterruptedBackupError):
        look(a, b, heal=True, run=AuditRun(cancel, stop, QUICK, QUICK))
    assert points(b) == [chain.key_of(n) for chain in chains[:2] for n in (0, 1)]
    assert look(a, b, heal=True).healed == 2
    with pytest.raises(InterruptedBackupError):
        look(a, b, deep=True, run=AuditRun(cancel, reading=QUICK))


def test_since_is_a_time_with_zone_or_an_age() -> None:
    now = datetime(2026, 3, 31, tzinfo=timezone.utc)
    assert parse_since("30d", now) == now - timedelta(days=30)
    assert parse_since(" 12h ", now) == now - timedelta(hours=12)
    assert parse_since("2026-01-01T00:00:00Z", now) == datetime(2026, 1, 1, tzinfo=timezone.utc)
    for wrong in ("", "yesterday", "30", "2026-01-01", "2026-01-01T00:00:00", "-3d"):
        with pytest.raises(ConfigurationError):
            parse_since(wrong, now)

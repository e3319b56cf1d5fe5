"""Compare-exchange keys that vanished without a tombstone are noticed."""

from __future__ import annotations

from raven_backup_provider.core.compare_exchange import MAX_KEYS, fingerprints, lost_deletions, needs_care


def _marks(*keys: str) -> tuple[str, ...]:
    made = fingerprints(keys)
    assert made is not None
    return made


def test_a_key_that_is_still_listed_or_has_a_tombstone_is_accounted_for() -> None:
    assert lost_deletions(_marks("a", "b"), ["a", "new"], ["b"]) == 0


def test_a_key_that_vanished_without_a_tombstone_is_lost() -> None:
    assert lost_deletions(_marks("a", "b", "c"), ["a"], []) == 2


def test_letter_case_is_ignored_as_ravendb_does() -> None:
    assert lost_deletions(_marks("Emails/A"), ["emails/a"], []) == 0


def test_too_many_keys_are_not_put_on_record() -> None:
    assert fingerprints(str(n) for n in range(MAX_KEYS + 1)) is None


def test_servers_from_7_on_hold_these_tombstones_themselves() -> None:
    assert [needs_care(v) for v in ("5.4.207", "6.2.4", "7.1.5", "10.0")] == [True, True, False, False]

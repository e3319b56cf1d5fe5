"""The retention table, on the pure rules and on real files; the order of deletion; and what no policy can break."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raven_backup_provider.core.chain_facts import ChainState
from raven_backup_provider.core.retention import plan_retention
from raven_backup_provider.core.retention_model import ItemKind, RetentionPlan, Rule
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.retention_facts import read_facts
from tests.core.retention_cases import CASES, Case
from tests.support.planted_chains import Chain, facts_of, plant, utc


def decisions(case: Case, plan: RetentionPlan) -> dict[str, str]:
    labels = {chain.folder: label for label, chain in case.chains.items()}
    return {
        labels[d.folder]: ("+" if d.kept else "-") + ", ".join(sorted(rule.value for rule in d.rules))
        for d in plan.decisions
    }


def expected(case: Case) -> dict[str, str]:
    return {label: text[0] + ", ".join(sorted(text[1:].split(", "))) for label, text in case.expected.items()}


def check(case: Case, plan: RetentionPlan) -> None:
    assert decisions(case, plan) == expected(case)
    assert (plan.refusal is not None) == case.refused
    if case.note is not None:
        assert any(case.note in note for note in plan.notes), plan.notes


def test_the_table_is_long_and_its_rows_have_names_of_their_own() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_table_on_the_rules_alone(case: Case) -> None:
    policy = RetentionPolicy.from_mapping(case.policy)
    check(case, plan_retention(facts_of(list(case.chains.values())), policy, utc(case.now)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_table_on_files_in_a_folder(case: Case, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    plant(tmp_path, case.chains.values())
    facts, _ = read_facts(Source(FolderDestination(tmp_path), "shop"))
    check(case, plan_retention(facts, RetentionPolicy.from_mapping(case.policy), utc(case.now)))
    assert set(facts.others) == {case.chains[label].folder for label in case.others}


def plan_of(chains: list[Chain], now: str = "2026-03-31 12:00", **policy: object) -> RetentionPlan:
    return plan_retention(facts_of(chains), RetentionPolicy.from_mapping({"max_delete_share": 1, **policy}), utc(now))


def test_a_folder_goes_manifests_first_increments_before_their_base_then_the_rest_then_the_folder() -> None:
    old = Chain(
        "2026-01-01 01:00",
        ("2026-01-02 01:00", "2026-01-03 01:00"),
        tail="2026-01-04 01:00",
        hold="2026-02-01 00:00",
        verified="bad",
    )
    plan = plan_of([old, Chain("2026-03-30 01:00")], keep_last=1)
    start = "shop/2026-01-01-01-00-00.ravendb-shop-A-backup"
    full, first, second = (
        f"{start}/2026-01-0{n}-01-00-00.ravendb-{kind}-backup"
        for n, kind in ((1, "full"), (2, "incremental"), (3, "incremental"))
    )
    marks = [i.key for i in plan.items if i.kind is ItemKind.MARK]
    assert [i.key for i in plan.items] == [
        f"{second}.manifest.json",
        f"{first}.manifest.json",
        f"{full}.manifest.json",
        f"{start}/2026-01-04-01-00-00.ravendb-incremental-backup",
        second,
        first,
        full,
        *marks,
        start,
    ]
    assert {key.rpartition("/")[2][:6] for key in marks} == {"0-hold", "2026-0"}


def test_chains_go_from_the_oldest_on() -> None:
    chains = [Chain(f"2026-03-{day:02} 01:00") for day in (9, 3, 30, 6)]
    plan = plan_of(chains, keep_last=1)
    assert [d.title[:10] for d in plan.deleted] == ["2026-03-03", "2026-03-06", "2026-03-09"]


def test_a_kept_chain_loses_the_mark_of_a_deletion_that_did_not_happen() -> None:
    chains = [Chain("2026-03-01 01:00", hold="for ever", doomed=True), Chain("2026-03-30 01:00")]
    plan = plan_of(chains, keep_last=1)
    assert [(d.kept, d.state) for d in plan.decisions] == [(True, ChainState.COMPLETE)] * 2
    assert [i.key for i in plan.items] == [f"{chains[0].folder}/2026-03-01-01-00-00.deleting.json"]


def test_every_decision_has_words() -> None:
    for case in CASES:
        plan = plan_retention(
            facts_of(list(case.chains.values())), RetentionPolicy.from_mapping(case.policy), utc(case.now)
        )
        assert all(d.reason for d in plan.decisions), case.name
        assert all(d.kept or d.items for d in plan.decisions), case.name


# --- what no policy can break ---------------------------------------------------------------------------------------

START = utc("2026-01-01 00:00")


@st.composite
def chains(draw: st.DrawFn) -> list[Chain]:
    made: dict[str, Chain] = {}
    for _ in range(draw(st.integers(0, 8))):
        begun = START + timedelta(hours=draw(st.integers(0, 24 * 90)))
        gaps = draw(st.lists(st.integers(1, 24 * 10), max_size=3))
        times = [begun + timedelta(hours=sum(gaps[:n])) for n in range(1, len(gaps) + 1)]
        chain = Chain(
            f"{begun:%Y-%m-%d %H:%M}",
            tuple(f"{t:%Y-%m-%d %H:%M}" for t in times),
            node=draw(st.sampled_from("AB")),
            state=draw(st.sampled_from(["complete"] * 4 + ["damaged", "broken", "unproven", "leftover", "empty"])),
            hold=draw(st.sampled_from([None, None, "for ever", "2026-02-01 00:00"])),
            verified=draw(st.sampled_from([None, None, "ok", "bad", "unreadable"])),
            running=draw(st.integers(0, 9)) == 0,
            local=draw(st.sampled_from([0, 0, -8, 10])),
        )
        made[chain.folder] = chain
    return list(made.values())


@st.composite
def policies(draw: st.DrawFn) -> RetentionPolicy:
    some = st.one_of(st.none(), st.integers(1, 4))
    days_ = st.one_of(st.none(), st.integers(1, 60))
    told = {name: draw(some) for name in ("keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")} | {
        name: draw(days_) for name in ("minimum_age_days", "unproven_after_days")
    }
    told["grace_hours"] = draw(st.sampled_from([0, 24, 500]))
    told["time_zone"] = draw(st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Kiritimati"]))
    return RetentionPolicy.from_mapping(told)


nows = st.integers(0, 24 * 200).map(lambda hours: START + timedelta(hours=hours))


@settings(max_examples=300, deadline=None)
@given(chains(), policies(), nows)
def test_whatever_lies_there_and_whatever_is_asked_the_promises_hold(
    planted: list[Chain], policy: RetentionPolicy, now: datetime
) -> None:
    facts = facts_of(planted)
    plan = plan_retention(facts, policy, now)
    by_folder = {c.folder: c for c in facts.chains}
    gone = [by_folder[d.folder] for d in plan.deleted]
    kept = [by_folder[d.folder] for d in plan.decisions if d.kept]
    whole = [c for c in facts.chains if c.state is ChainState.COMPLETE]

    assert len(plan.decisions) == len(facts.chains)
    if whole:
        assert max(whole, key=lambda c: c.order) in kept
        assert max(whole, key=lambda c: c.judgement.points[-1]).judgement.points[-1] in {c.last_point for c in kept}
    else:
        assert gone == []
    for chain in gone:
        assert not any(hold.holds_at(now) for hold in chain.holds)
        assert not chain.listing.in_progress
        young = now - chain.latest() < timedelta(hours=policy.grace_hours)
        assert chain.state is ChainState.EMPTY or not policy.grace_hours or not young
        assert policy.has_rules or not chain.judgement.points
        assert (
            policy.minimum_age_days is None
            or not chain.judgement.points
            or (now - chain.latest() >= timedelta(days=policy.minimum_age_days))
        )
    if policy.keep_last is not None:
        assert len([c for c in kept if c in whole]) >= min(policy.keep_last, len(whole))
    keys = [item.key for item in plan.items]
    assert len(set(keys)) == len(keys)
    for decision in plan.deleted:
        assert all(item.key.startswith(decision.folder) for item in decision.items)


@settings(max_examples=150, deadline=None)
@given(chains(), policies(), nows)
def test_pruning_again_at_the_same_moment_finds_nothing_more(
    planted: list[Chain], policy: RetentionPolicy, now: datetime
) -> None:
    first = plan_retention(facts_of(planted), policy, now)
    left = [c for c in planted if c.folder not in {d.folder for d in first.deleted}]
    assert plan_retention(facts_of(left), policy, now).deleted == ()


@settings(max_examples=150, deadline=None)
@given(chains(), policies(), nows)
def test_a_damaged_chain_more_never_deletes_a_whole_one_more(
    planted: list[Chain], policy: RetentionPolicy, now: datetime
) -> None:
    """Where one chain is damaged instead of whole, of the others as many points in time survive."""
    hurt = [
        Chain(**{**_fields(c), "state": "broken"}) if n == 0 and c.state == "complete" else c
        for n, c in enumerate(planted)
    ]
    before = {d.folder for d in plan_retention(facts_of(planted), policy, now).deleted}
    after = {d.folder for d in plan_retention(facts_of(hurt), policy, now).deleted}
    others = {c.folder for c in planted[1:] if c.state == "complete"}
    assert after & others <= before & others


def _fields(chain: Chain) -> dict[str, object]:
    return {name: getattr(chain, name) for name in Chain.__dataclass_fields__}


def test_an_anchor_is_named_whenever_something_goes() -> None:
    plan = plan_of([Chain("2026-03-01 01:00"), Chain("2026-03-30 01:00")], keep_last=1)
    assert plan.anchor == "shop/2026-03-30-01-00-00.ravendb-shop-A-backup"
    assert plan.deleted[0].rules == (Rule.EXPIRED,)

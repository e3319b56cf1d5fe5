"""Each rule that keeps a chain, alone: (what is there, the policy, the time) -> which folders it keeps, and why in words.

The rules that always keep come first; no policy switches them off. Design section 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from raven_backup_provider.core.chain_facts import ChainFacts, ChainState, Verified
from raven_backup_provider.core.retention_model import Rule
from raven_backup_provider.core.retention_periods import kept_of_periods
from raven_backup_provider.core.retention_policy import RetentionPolicy

#: (key of the folder, rule, reason)
Keep = tuple[str, Rule, str]
KeepRule = Callable[[Sequence[ChainFacts], RetentionPolicy, datetime], Iterable[Keep]]

#: How many periods a reason names.
_NAMED = 3


def complete(chains: Iterable[ChainFacts]) -> list[ChainFacts]:
    """The complete chains, newest first by the start of their full."""
    return sorted((c for c in chains if c.state is ChainState.COMPLETE), key=lambda c: c.order, reverse=True)


def newest(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """The newest complete chain; where nodes took turns, also the chain with the newest restore point; and the newest
    folder of any kind, which may be one that is just being made."""
    whole = complete(chains)
    if whole:
        yield whole[0].folder, Rule.NEWEST, "the newest complete chain"
        latest = max(whole, key=lambda c: (c.judgement.points[-1], c.order))
        if latest is not whole[0]:
            yield latest.folder, Rule.NEWEST, "holds the newest restore point"
    real = [c for c in chains if c.state not in (ChainState.LEFTOVER, ChainState.EMPTY)]
    last = max(real, key=lambda c: c.order, default=None)
    if last is not None and last.state is not ChainState.COMPLETE:
        yield last.folder, Rule.NEWEST, f"the newest chain, though {last.state}"


def verified(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """The newest chain that a verification found whole, and newer ones whose mark could not be read."""
    for chain in complete(chains):
        if chain.verified is Verified.UNREADABLE:
            yield chain.folder, Rule.VERIFIED, "the mark of its verification cannot be read or trusted"
        elif chain.verified is Verified.YES:
            yield chain.folder, Rule.VERIFIED, "the last verified chain"
            return


def held(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """Chains with a hold that is in force."""
    for chain in chains:
        words = [hold.words for hold in chain.holds if hold.holds_at(now)]
        if words:
            yield chain.folder, Rule.HELD, "held: " + "; ".join(words)


def running(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """Folders in which a file is being written."""
    for chain in chains:
        if chain.listing.in_progress:
            name = chain.listing.in_progress[0].key.rpartition("/")[2]
            yield (
                chain.folder,
                Rule.RUNNING,
                f"{name} is being written (or was left by a killed run; remove it if none runs)",
            )


def grace(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """Nothing younger than the grace period, by any time that is known of it; a period of 0 hours protects nothing, not
    even from a store whose clock is ahead of ours."""
    for chain in chains if policy.grace_hours else ():
        if chain.state is not ChainState.EMPTY and now - chain.latest_possible() < timedelta(hours=policy.grace_hours):
            yield chain.folder, Rule.GRACE, f"younger than {policy.grace_hours:g} hours"


def minimum_age(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """RavenDB's ``MinimumBackupAgeToKeep``: a folder goes when its own time and its last file's are both old enough.

    RavenDB stops at the first folder that is too young; folders being walked in the order of their names, that is the same
    as judging each alone. (Facts, section 7.)
    """
    if policy.minimum_age_days is None:
        return
    age = timedelta(days=policy.minimum_age_days)
    for chain in _claiming(chains):
        if not chain.judgement.points and now - chain.latest_possible_by_name() < age:
            yield chain.folder, Rule.MINIMUM_AGE, f"younger than {policy.minimum_age_days:g} days, if it can be read"
        elif now - chain.started < age:
            yield chain.folder, Rule.MINIMUM_AGE, f"younger than {policy.minimum_age_days:g} days"
        elif now - chain.latest() < age:
            yield chain.folder, Rule.MINIMUM_AGE, f"its last file is younger than {policy.minimum_age_days:g} days"


def last(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """The newest so many complete chains, and damaged ones that are not older than these: they do not count, but what they
    still hold can be restored, or may be with the signing key they were written with."""
    if policy.keep_last is None:
        return
    counted = complete(chains)[: policy.keep_last]
    for number, chain in enumerate(counted, 1):
        yield chain.folder, Rule.LAST, f"complete chain {number} of the last {policy.keep_last}"
    for chain in _claiming(chains):
        young = len(counted) < policy.keep_last or chain.order > counted[-1].order
        if chain.state is ChainState.DAMAGED and young:
            yield chain.folder, Rule.LAST, f"damaged, but not older than the last {policy.keep_last} complete chains"


def periods(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """The newest restore point of each of the last so many days, weeks, months, years.

    A damaged chain may hold points that could not be read. It keeps the places those points would have, beside the chain
    that takes them: "could not look" is never a reason to delete.
    """
    proven = [(time, c.folder) for c in chains for time in c.judgement.points]
    claimed = [(time, c.folder) for c in chains if c.state is ChainState.DAMAGED for time in c.claimed()]
    for rule, count in (
        (Rule.DAILY, policy.keep_daily),
        (Rule.WEEKLY, policy.keep_weekly),
        (Rule.MONTHLY, policy.keep_monthly),
        (Rule.YEARLY, policy.keep_yearly),
    ):
        if count is None:
            continue
        kept = kept_of_periods(proven, rule, count, policy.zone)
        for folder, found in kept.items():
            yield folder, rule, f"{rule} {_listed(found)}"
        for folder, found in kept_of_periods([*proven, *claimed], rule, count, policy.zone).items():
            if folder not in kept:
                yield folder, rule, f"{rule} {_listed(found)}, if its damaged part can be read"


def no_rule(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """A policy that speaks of unproven folders only lets no restore point go."""
    if not policy.has_rules:
        for chain in _claiming(chains):
            yield chain.folder, Rule.NO_RULE, "the policy gives no rule for restore points"


def unproven(chains: Sequence[ChainFacts], policy: RetentionPolicy, now: datetime) -> Iterable[Keep]:
    """Folders without any restore point stay, unless the policy gives them an age and they begin with a full, as RavenDB's
    own retention wants it."""
    for chain in chains:
        if chain.judgement.points or chain.state in (ChainState.LEFTOVER, ChainState.EMPTY):
            continue
        what = chain.judgement.problems[0] if chain.judgement.problems else "no manifest proves it"
        days = policy.unproven_after_days
        if days is None:
            yield chain.folder, Rule.UNPROVEN, f"{what} (unproven_after_days is not set)"
        elif not chain.begins_with_full:
            yield chain.folder, Rule.UNPROVEN, f"{what}; it does not begin with a full backup, so look at it"
        elif now - chain.latest_possible_by_name() < timedelta(days=days):
            yield chain.folder, Rule.UNPROVEN, f"{what}; younger than {days:g} days"


def _claiming(chains: Iterable[ChainFacts]) -> list[ChainFacts]:
    """Chains with restore points, and those whose manifests say that there are some, though nothing could be made of them: after
    a change of the signing key that is every older chain."""
    return [c for c in chains if c.judgement.points or c.claimed()]


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


#: All of them. Which come first decides the order of the words only.
KEEPING: tuple[KeepRule, ...] = (newest, verified, held, running, grace, minimum_age, last, periods, no_rule, unproven)

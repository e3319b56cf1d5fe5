"""What may be deleted and when: (what a database's folder holds, the policy, the time) -> a plan. Pure.

Owns the combination of the rules (core/retention_rules.py) and the order of deletion. A chain goes as a whole and only when
a rule was given and none keeps it: manifests first, from the newest point back, so that whatever remains at any moment is a
shorter chain or no restore point at all; then the data, increments before their base; then the rest; then the folder.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from raven_backup_provider.core.chain_facts import ZONE_AHEAD, ZONE_SLACK, ChainFacts, ChainState, DatabaseFacts
from raven_backup_provider.core.chain_marks import MarkKind
from raven_backup_provider.core.retention_dropped import is_due, kept_of_dropped, note_of, why_dropped
from raven_backup_provider.core.retention_model import Decision, Item, ItemKind, RetentionPlan, Rule
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.core.retention_rules import KEEPING, complete

#: How far two machines' clocks may differ before a newer backup counts as a sign that ours went back.
CLOCK_TOLERANCE = timedelta(minutes=5)
#: An empty folder may be one that a server has just made for a backup.
EMPTY_FOR = timedelta(hours=24)

_DELETES = {
    ChainState.LEFTOVER: (Rule.LEFTOVER, "the rest of a deletion that was interrupted"),
    ChainState.EMPTY: (Rule.EMPTY, "no backup is in it"),
}


def plan_retention(
    facts: DatabaseFacts, policy: RetentionPolicy, now: datetime, dropped_since: datetime | None = None
) -> RetentionPlan:
    """Decide about every backup folder of a database.

    :param now: the current time; aware.
    :param dropped_since: since when the server does not have the database any more; None where it has, or nobody knows.
    """
    chains = sorted(facts.chains, key=lambda c: c.order)
    if dropped_since is not None and is_due(facts, policy, dropped_since, now):
        return _plan_dropped(facts, chains, policy, now, dropped_since)
    whole = complete(chains)
    anchor = whole[0].folder if whole else None
    blanket = _keeps_everything(chains, policy, now)
    if blanket is not None:
        rule, reason = blanket
        decisions = tuple(_decision(c, True, (rule,), reason) for c in chains)
        return RetentionPlan(facts.folder, decisions, anchor, None, _notes(facts, decisions, blanket))
    keeps: dict[str, dict[Rule, list[str]]] = defaultdict(lambda: defaultdict(list))
    for keeping in KEEPING:
        for folder, rule, reason in keeping(chains, policy, now):
            keeps[folder][rule].append(reason)
    decisions = tuple(_judge(c, keeps[c.folder], now) for c in chains)
    return RetentionPlan(
        facts.folder, decisions, anchor, _refusal(facts.folder, decisions, policy), _notes(facts, decisions, None)
    )


def _plan_dropped(
    facts: DatabaseFacts, chains: list[ChainFacts], policy: RetentionPolicy, now: datetime, since: datetime
) -> RetentionPlan:
    """The policy asked for this by name, so neither the newest chain nor the share that goes holds it back."""
    kept, why = kept_of_dropped(chains, policy, now), why_dropped(policy, since, now)
    decisions = tuple(
        _decision(c, True, tuple(kept[c.folder]), "; ".join(kept[c.folder].values()))
        if c.folder in kept
        else _decision(c, False, (Rule.DROPPED,), why)
        for c in chains
    )
    return RetentionPlan(facts.folder, decisions, None, None, (note_of(decisions), *_notes(facts, decisions, None)))


def _keeps_everything(chains: list[ChainFacts], policy: RetentionPolicy, now: datetime) -> tuple[Rule, str] | None:
    if policy.disabled:
        return Rule.DISABLED, "the policy is disabled"
    if not policy.has_rules and policy.unproven_after_days is None:
        return Rule.NO_RULE, "the policy gives no rule"
    newest = max((_surely_reached(c) for c in chains), default=None)
    if newest is not None and now < newest - CLOCK_TOLERANCE:
        return Rule.CLOCK, (
            f"the clock says {now:%Y-%m-%d %H:%M:%S} UTC, but there is a backup of {newest:%Y-%m-%d %H:%M:%S}: set the clock right"
        )
    if not complete(chains):
        return Rule.NO_COMPLETE_CHAIN, f"there is no complete chain ({_why_not_complete(chains)})"
    return None


def _why_not_complete(chains: list[ChainFacts]) -> str:
    if any(chain.listing.manifests for chain in chains):
        return "if manifests are signed, check the signing key that was given"
    return "nothing has a manifest; what only RavenDB's own tasks wrote is for the retention of those tasks"


def _surely_reached(chain: ChainFacts) -> datetime:
    """A time that must have passed if the folder's names are right, in whichever zone they were written."""
    if chain.judgement.points:
        return chain.judgement.points[-1]
    return chain.listing.name.time - ZONE_AHEAD


def _judge(chain: ChainFacts, keeps: dict[Rule, list[str]], now: datetime) -> Decision:
    if keeps:
        return _decision(chain, True, tuple(keeps), "; ".join(reason for found in keeps.values() for reason in found))
    if chain.state is ChainState.EMPTY and now - chain.listing.name.time - ZONE_SLACK < EMPTY_FOR:
        return _decision(chain, True, (Rule.RUNNING,), "empty and young: a backup may be about to be written")
    if chain.state in _DELETES:
        return _decision(chain, False, (_DELETES[chain.state][0],), _DELETES[chain.state][1])
    days = (now - chain.started).total_seconds() / 86400
    if not chain.judgement.points:
        return _decision(chain, False, (Rule.UNPROVEN_AGE,), f"no restore point in it, and {days:.0f} days old")
    damaged = f"; it is damaged: {chain.judgement.problems[0]}" if chain.judgement.problems else ""
    return _decision(chain, False, (Rule.EXPIRED,), f"no rule keeps it, {days:.0f} days old{damaged}")


def _decision(chain: ChainFacts, kept: bool, rules: tuple[Rule, ...], reason: str) -> Decision:
    stale = chain.listing.marks_of(MarkKind.DELETING) if kept and chain.judgement.points else ()
    return Decision(
        folder=chain.folder,
        kept=kept,
        rules=rules,
        reason=reason,
        state=chain.state,
        started=chain.started,
        points=len(chain.judgement.points),
        size=chain.size,
        items=tuple(Item(ItemKind.MARK, m.key, m.size) for m in stale) if kept else deletion_items(chain),
    )


def deletion_items(chain: ChainFacts) -> tuple[Item, ...]:
    """Everything of ours in the folder, in the order in which it must go; the folder itself last, unless a foreign file
    keeps it."""
    listing = chain.listing
    marks = [m for m in listing.marks if m not in listing.marks_of(MarkKind.DELETING)]
    items = [Item(ItemKind.MANIFEST, f.key, f.size) for f in reversed(listing.manifests)]
    items += [Item(ItemKind.DATA, f.key, f.size) for f in reversed(listing.backups)]
    items += [Item(ItemKind.MARK, f.key, f.size) for f in marks]
    items += [Item(ItemKind.FOLDER, listing.folder)] if not listing.foreign else []
    return tuple(items)


def _refusal(folder: str, decisions: tuple[Decision, ...], policy: RetentionPolicy) -> str | None:
    """The mass-delete guard: a wrong policy or clock shall not empty a destination."""
    counted = [d for d in decisions if d.state not in _DELETES]
    gone = [d for d in counted if not d.kept]
    if not gone or len(gone) <= policy.max_delete_share * len(counted):
        return None
    return (
        f"{len(gone)} of the {len(counted)} chains of {folder or 'the database'} would be deleted, which is more than "
        f"max_delete_share={policy.max_delete_share:g} allows. Look at the plan; if it is right, confirm the mass deletion once."
    )


def _notes(facts: DatabaseFacts, decisions: tuple[Decision, ...], blanket: tuple[Rule, str] | None) -> tuple[str, ...]:
    notes = [f"Nothing is deleted: {blanket[1]}."] if blanket is not None and facts.chains else []
    if blanket is not None and blanket[0] is Rule.CLOCK:
        latest = max(facts.chains, key=_surely_reached)
        notes.append(
            f"If the clock is right, {latest.title} was made while a clock was ahead, and names go on from there: move it and all "
            "later ones to another place, where they can still be restored from. The next backup is then a full with the right "
            "time."
        )
    gone = {d.folder for d in decisions if not d.kept}
    notes += [
        f"{chain.title} is not empty afterwards: {file.key} is not ours and stays."
        for chain in facts.chains
        if chain.folder in gone
        for file in chain.listing.foreign[:1]
    ]
    if facts.others:
        named = ", ".join(key.rpartition("/")[2] for key in facts.others[:5])
        notes.append(f"Left alone, as they bear another database's name: {named}{' ...' * (len(facts.others) > 5)}.")
    return tuple(notes)

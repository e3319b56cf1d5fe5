"""What becomes of the backups of a database that the server does not have any more. Pure.

The other rules always keep the newest complete chain, so the last backups of a dropped database stay for ever, unless the policy
says ``dropped_after_days``. That lets all of them go, the newest too, once the database has been gone for so long and nothing of it
is younger. Held chains, those that are just being written, and files that nothing proves stay even then.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from raven_backup_provider.core.chain_facts import ChainFacts, DatabaseFacts
from raven_backup_provider.core.retention_model import Decision, Rule
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.core.retention_rules import grace, held, running, unproven

#: What keeps a chain although its database is gone.
KEEPING = (held, running, grace, unproven)


def is_due(facts: DatabaseFacts, policy: RetentionPolicy, dropped_since: datetime | None, now: datetime) -> bool:
    """Whether the backups of a dropped database go now.

    A backup younger than that speaks for a database that lives, whatever the inventory says; then nothing of this applies.

    :param dropped_since: when it was first seen to be gone; None: it is there, or nobody knows.
    """
    if policy.disabled or policy.dropped_after_days is None or dropped_since is None or not facts.chains:
        return False
    limit = now - timedelta(days=policy.dropped_after_days)
    return dropped_since <= limit and all(chain.latest_possible() <= limit for chain in facts.chains)


def kept_of_dropped(chains: list[ChainFacts], policy: RetentionPolicy, now: datetime) -> dict[str, dict[Rule, str]]:
    """Key of a folder -> the rules that keep it, in words."""
    kept: dict[str, dict[Rule, str]] = defaultdict(dict)
    for keeping in KEEPING:
        for folder, rule, reason in keeping(chains, policy, now):
            kept[folder].setdefault(rule, reason)
    return kept


def why_dropped(policy: RetentionPolicy, dropped_since: datetime, now: datetime) -> str:
    """The reason each chain goes."""
    return (
        f"THE DATABASE IS DROPPED, for {(now - dropped_since).days} days (seen to be gone {dropped_since:%Y-%m-%d %H:%M} UTC), and "
        f"dropped_after_days={policy.dropped_after_days:g}: all of its backups go, the newest too"
    )


def note_of(decisions: tuple[Decision, ...]) -> str:
    """What a human must not overlook."""
    gone = [d for d in decisions if not d.kept]
    points = sum(d.points for d in gone)
    left = len(decisions) - len(gone)
    return (
        f"LAST BACKUPS OF A DROPPED DATABASE: {len(gone)} chains with {points} restore points go, {left} stay. "
        "`raven-backup hold` keeps a chain; without dropped_after_days in the policy all stay for ever."
    )

"""What a retention plan consists of: a decision for each backup folder with its rules in words, and items in deletion order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from raven_backup_provider.core.chain_facts import ChainState


class Rule(str, Enum):
    """What decided about a folder. The first group keeps always, the second as the policy says, the third deletes."""

    DISABLED = "disabled"
    NO_RULE = "no rule"
    CLOCK = "clock"
    NO_COMPLETE_CHAIN = "no complete chain"
    NEWEST = "newest"
    VERIFIED = "last verified"
    HELD = "held"
    RUNNING = "running"
    GRACE = "grace"

    MINIMUM_AGE = "minimum age"
    LAST = "last"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"
    UNPROVEN = "unproven"

    EXPIRED = "expired"
    UNPROVEN_AGE = "unproven too long"
    LEFTOVER = "leftover"
    EMPTY = "empty"
    DROPPED = "dropped database"

    __str__ = str.__str__


class ItemKind(str, Enum):
    """One step of deleting a folder, in this order: a manifest ends a restore point, then its data may go."""

    MANIFEST = "manifest"
    DATA = "data"
    MARK = "mark"
    FOLDER = "folder"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to delete.

    :param key: of a file, or of the folder itself.
    :param size: bytes.
    """

    kind: ItemKind
    key: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one backup folder.

    :param rules: all that keep it, or the one that deletes it.
    :param reason: the same in words.
    :param items: what is deleted, in this order; of a kept folder only the stale mark of a deletion that did not happen.
    :param points: how many restore points it has.
    :param size: bytes.
    """

    folder: str
    kept: bool
    rules: tuple[Rule, ...]
    reason: str
    state: ChainState
    started: datetime
    points: int
    size: int
    items: tuple[Item, ...] = ()

    @property
    def title(self) -> str:
        """Name of the folder."""
        return self.folder.rpartition("/")[2]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "folder": self.folder,
            "verdict": "kept" if self.kept else "deleted",
            "rules": [rule.value for rule in self.rules],
            "reason": self.reason,
            "state": self.state.value,
            "started": self.started.isoformat(),
            "points": self.points,
            "size": self.size,
            "items": [item.key for item in self.items],
        }


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What is kept and what is deleted of one database at one destination.

    :param folder: key of the database's folder.
    :param decisions: oldest first; folders are deleted in this order.
    :param anchor: folder of the newest complete chain; it must be there when anything is deleted.
    :param refusal: why the plan is not carried out without a confirmation; None if it may be.
    :param notes: what a human should know.
    """

    folder: str
    decisions: tuple[Decision, ...]
    anchor: str | None
    refusal: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def deleted(self) -> tuple[Decision, ...]:
        """Decisions to delete."""
        return tuple(d for d in self.decisions if not d.kept)

    @property
    def items(self) -> tuple[Item, ...]:
        """Everything that is deleted, in order."""
        return tuple(item for decision in self.decisions for item in decision.items)

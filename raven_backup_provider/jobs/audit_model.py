"""What is asked of an audit, and its findings: one row for a backup file, one cell for each destination."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.patience import Patience
from raven_backup_provider.core.transfer import READING, WRITING
from raven_backup_provider.jobs.copy_steps import CopyStep
from raven_backup_provider.jobs.verify import Sample

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class State(str, Enum):
    """How a destination stands with one backup file."""

    PRESENT = "present"
    #: There by list, size and manifest, but in an archive, so it could not be read.
    ARCHIVED = "archived"
    #: Its chain is older than what the destination keeps.
    NOT_KEPT = "not kept"
    #: Not there, but younger than the grace time.
    NOT_YET = "not yet"
    #: Made by RavenDB itself: without a manifest, so there is nothing to compare.
    NATIVE = "native"
    MISSING = "missing"
    DAMAGED = "damaged"
    #: The file without a usable manifest.
    UNPROVEN = "unproven"
    #: Something else under that name, or a file that is no part of the chain elsewhere. Never touched.
    FOREIGN = "foreign"
    UNREACHABLE = "unreachable"

    __str__ = str.__str__


#: States that are as they should be.
FINE = frozenset({State.PRESENT, State.ARCHIVED, State.NOT_KEPT, State.NOT_YET, State.NATIVE})
#: States that healing works on.
HEALABLE = frozenset({State.MISSING, State.DAMAGED, State.UNPROVEN, State.NOT_YET})


@dataclass(frozen=True, slots=True)
class Cell:
    """One file at one destination.

    :param detail: what was found, or why it was not healed, in a sentence.
    :param hashed: the file was read and has the right SHA-256.
    :param healed: it is right now because this audit made it so.
    :param transient: what is wrong may be gone at the next try.
    """

    state: State
    detail: str = ""
    hashed: bool = False
    healed: bool = False
    transient: bool = False

    @property
    def fine(self) -> bool:
        """Whether nothing is to be done about it."""
        return self.state in FINE

    @property
    def word(self) -> str:
        """For a table."""
        return f"{self.state} (healed)" if self.healed else str(self.state)

    def but(self, detail: str, *, transient: bool = False) -> Cell:
        """The same, with why it was not healed."""
        return replace(self, detail=" ".join(part for part in (self.detail, detail) if part), transient=transient)


@dataclass(slots=True)
class Row:
    """One backup file at all destinations.

    :param database: as the manifests spell it.
    :param chain: name of the backup folder.
    :param size: bytes; None where no manifest says it.
    :param cells: by identity of the destination; without those that the file does not concern.
    """

    database: str
    chain: str
    file: str
    size: int | None
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def fine(self) -> bool:
        """Whether the file is everywhere as it should be."""
        return all(cell.fine for cell in self.cells.values())

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "database": self.database,
            "chain": self.chain,
            "file": self.file,
            "size": self.size,
            "destinations": {
                identity: {
                    "state": cell.state.value,
                    "detail": cell.detail,
                    "hash_checked": cell.hashed,
                    "healed": cell.healed,
                }
                for identity, cell in self.cells.items()
            },
        }


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What to compare, and what to do about it.

    :param database: its name in any letter case; None: all that any destination holds.
    :param deep: read the files and compare their SHA-256; otherwise list, size and manifest.
    :param sample: with ``deep``: read only this part of them.
    :param heal: refill what is missing and replace what is damaged, from a good copy.
    :param since: chains whose full began then or later belong at every destination; None: those that are not older than
        the oldest chain the destination still has, for older ones were removed by its retention.
    :param grace: a point younger than this may still be on its way.
    :param signing_key: manifests not signed with it prove nothing.
    """

    database: str | None = None
    deep: bool = False
    sample: Sample | None = None
    heal: bool = False
    since: datetime | None = None
    grace: timedelta = timedelta(0)
    signing_key: bytes | None = field(default=None, repr=False)


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class AuditRun:
    """How an audit is carried out.

    :param cancel: set from elsewhere.
    :param on_step: called while healing, as by a copy.
    """

    cancel: threading.Event | None = None
    on_step: Callable[[CopyStep], None] = lambda step: None
    reading: Patience = READING
    writing: Patience = WRITING
    clock: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic


def parse_since(text: str, now: datetime) -> datetime:
    """A time with zone (``2026-11-22T10:00:00Z``) or an age (``12h``, ``30d``, ``8w``).

    :raises ConfigurationError: it is neither.
    """
    word = text.strip()
    age = re.fullmatch(r"(\d{1,6})([mhdw])", word, re.ASCII)
    if age is not None:
        return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", word))
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise ConfigurationError(
            f"{text!r} is neither a time with zone (2026-11-22T10:00:00Z) nor an age (12h, 30d, 8w)."
        )
    return moment

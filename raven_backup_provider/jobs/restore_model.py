"""What a restore will do, decided before anything is sent: which files, in which order, into which name, read by whom.

A plan is a value that goes through XComs and state stores, so it holds no key. The files of a plan made by
jobs/restore_plan.py have been read and checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from raven_backup_provider.core.errors import ConfigurationError


class RestoreMode(str, Enum):
    """Who reads the files: SERVER, RavenDB from a path it sees, S3 or Azure; STREAM, the worker, which imports them over HTTP."""

    SERVER = "server"
    STREAM = "stream"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """How to restore.

    :param disable_ongoing_tasks: replication, ETL, backup and other tasks of the new database come back disabled.
    :param skip_indexes: restore no index definitions.
    :param skip_subscriptions: restore no subscriptions (mode STREAM): without a licence, RavenDB 6.2 and 7.1 refuse to restore any
        once they have run for a minute or two, however few there are.
    :param keep_guard: leave our tombstone guard in the new database; it has no use there until that is backed up itself.
    :param allow_unproven: also files without a manifest, such as RavenDB's own backups; nothing proves that none is missing.
    """

    disable_ongoing_tasks: bool = True
    skip_indexes: bool = False
    skip_subscriptions: bool = False
    keep_guard: bool = False
    allow_unproven: bool = False


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of the chain.

    :param key: key at the destination.
    :param size: bytes.
    :param sha256: from the manifest, None for an unproven file.
    :param encrypted: needs the key.
    :param snapshot: a ZIP that only the server can read.
    """

    key: str
    size: int
    sha256: str | None
    encrypted: bool
    snapshot: bool

    @property
    def name(self) -> str:
        """File name."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """A restore that may be sent.

    :param target: name of the database to create.
    :param destination: identity of the destination, for messages.
    :param database: name of the database the files were taken from.
    :param folder: key of the backup folder.
    :param files: the chain up to the chosen point, in restore order.
    :param key_id: fingerprint of the key needed, None for plain or unproven files.
    :param server_folder: the backup folder as the server sees it, or as its store names it (mode SERVER).
    :param server_file: the chosen file exactly as the server lists it (mode SERVER, planned with a transport).
    """

    target: str
    mode: RestoreMode
    destination: str
    database: str
    folder: str
    files: tuple[PlannedFile, ...]
    options: RestoreOptions = field(default_factory=RestoreOptions)
    key_id: str | None = None
    server_folder: str | None = None
    server_file: str | None = None

    @property
    def point(self) -> str:
        """Name of the chosen file, the last one to be restored."""
        return self.files[-1].name

    @property
    def total_bytes(self) -> int:
        """Size of all files."""
        return sum(f.size for f in self.files)

    @property
    def encrypted(self) -> bool:
        """True when a key is needed."""
        return any(f.encrypted for f in self.files)

    @property
    def digest(self) -> str:
        """Names this very plan: two restores with the same digest do the same thing."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """A JSON object without secrets."""
        return {**asdict(self), "mode": self.mode.value, "files": [asdict(f) for f in self.files]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RestorePlan:
        """The inverse of :meth:`to_json`.

        :raises ConfigurationError: it is no plan of this release.
        """
        try:
            fields = dict(value)
            fields["mode"] = RestoreMode(fields["mode"])
            fields["files"] = tuple(PlannedFile(**f) for f in fields["files"])
            fields["options"] = RestoreOptions(**fields["options"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"A stored restore plan cannot be read ({error}); it was made by another release. Clear the task and its "
                "stored state once you know that no restore of it is running."
            ) from error


def remembered_plan(remembered: Mapping[str, Any] | None, *, target: str) -> RestorePlan | None:
    """The plan an earlier try of the same task stored, None on the first try.

    "Latest" may be another point by now; a retry keeps to the one that was chosen.

    :raises ConfigurationError: the stored state is about another target.
    """
    if not remembered:
        return None
    plan = RestorePlan.from_json(remembered.get("plan") or {})
    if plan.target != target:
        raise ConfigurationError(
            f"The stored state of this task is about a restore to '{plan.target}', but '{target}' is asked for now. "
            "Look whether that restore has ended, then clear the stored state."
        )
    return plan

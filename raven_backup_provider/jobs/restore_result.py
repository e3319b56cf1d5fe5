"""How far a restore is and what it came to, the same for both modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raven_backup_provider.jobs.restore_model import RestorePlan
from raven_backup_provider.raven.operations import item_counts

#: Stores a state durably before it returns, so that a retry after a hard kill finds it.
Remember = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """One look at a running restore.

    :param file_index: 1 for the first file.
    :param bytes_done: of all files, bytes sent (mode STREAM) or bytes of the files done with (mode SERVER).
    :param counts: items read so far, by type.
    """

    file_index: int
    file_count: int
    file_name: str
    bytes_done: int
    bytes_total: int
    counts: dict[str, int]

    def __str__(self) -> str:
        documents = self.counts.get("Documents")
        read = f", {documents:,} documents read" if documents else ""
        return (
            f"file {self.file_index} of {self.file_count} ({self.file_name}), "
            f"{self.bytes_done:,} of {self.bytes_total:,} bytes{read}"
        )


OnProgress = Callable[[RestoreProgress], None]


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """A restore that ended well.

    :param target: the new database.
    :param database: the database the files were taken from.
    :param point: name of the last file restored.
    :param size: bytes of all files.
    :param counts: items read by the server, by type, over all files.
    :param guard_removed: our tombstone guard was in the backup and is removed from the new database.
    """

    target: str
    mode: str
    database: str
    point: str
    files: int
    size: int
    counts: dict[str, int]
    seconds: float
    guard_removed: bool
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "warnings": list(self.warnings)}


def server_progress(plan: RestorePlan, told: Mapping[str, Any]) -> RestoreProgress:
    """Progress of a restore by the server, from its operation's state."""
    files = told.get("Files") or {}
    current = files.get("CurrentFile")
    index = min(max(current if isinstance(current, int) else 1, 1), len(plan.files))
    done = sum(f.size for f in plan.files[: index - 1])
    return RestoreProgress(
        index, len(plan.files), plan.files[index - 1].name, done, plan.total_bytes, item_counts(told)
    )

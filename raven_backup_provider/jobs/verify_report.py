"""What a verification found, per file and as a whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from raven_backup_provider.core.errors import ArchivedFileError, CorruptBackupError

#: Problems that the error of a failed verification lists; the report has them all.
_LISTED = 20


class Verdict(str, Enum):
    """The outcomes for a file."""

    VALID = "valid"
    INVALID = "invalid"
    MANIFEST_MISSING = "manifest missing"
    #: It has no manifest either, but decrypts, decompresses and parses to its end: RavenDB's own backups at their best.
    READABLE = "readable, not proven"
    IN_PROGRESS = "in progress"
    #: It lies in an archive and was not read: not proven, but nothing is wrong with it either.
    ARCHIVED = "archived"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """The verdict on one file.

    :param key: key at the destination.
    :param problems: what is wrong, one sentence each.
    :param read: how far it was checked: ``size`` (not read), ``hash`` or ``deep``.
    :param seconds: that the check took.
    """

    key: str
    verdict: Verdict
    problems: tuple[str, ...]
    size: int
    read: str
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "verdict": self.verdict.value, "problems": list(self.problems)}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The outcome of a verification.

    :param destination: its identity.
    :param files: one verdict per file, in restore order.
    :param problems: of chains and folders, such as a missing file.
    :param bytes_read: bytes read from the destination.
    :param allowed: what is good enough, beside valid files and those being written.
    """

    destination: str
    files: tuple[FileVerdict, ...]
    problems: tuple[str, ...]
    bytes_read: int
    seconds: float
    allowed: tuple[Verdict, ...] = ()

    @property
    def ok(self) -> bool:
        """True when every file is valid or still being written, and every chain is whole."""
        return not self.problems and not self.bad

    @property
    def bad(self) -> list[FileVerdict]:
        """The files that are not as they should be."""
        return [f for f in self.files if f.verdict not in self._fine]

    @property
    def _fine(self) -> tuple[Verdict, ...]:
        return (Verdict.VALID, Verdict.IN_PROGRESS, *self.allowed)

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many files of each verdict."""
        return dict(Counter(f.verdict for f in self.files))

    def all_problems(self) -> list[str]:
        """Every problem, those of files with their key in front."""
        return [*self.problems, *(f"{f.key}: {problem}" for f in self.bad for problem in f.problems)]

    def summary(self) -> str:
        """A few lines for a log or a terminal."""
        counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.counts.items())) or "no files"
        lines = [f"{self.destination}: {counted}; {self.bytes_read:,} bytes read in {self.seconds:.1f} s."]
        allowed = [f"{f.key}: {told}" for f in self.files if f.verdict in self._fine for told in f.problems]
        return "\n".join(lines + [f"  {one}" for one in self.all_problems() + allowed])

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "destination": self.destination,
            "ok": self.ok,
            "counts": {verdict.value: count for verdict, count in self.counts.items()},
            "files": [f.to_json() for f in self.files],
            "problems": list(self.problems),
            "bytes_read": self.bytes_read,
            "seconds": self.seconds,
        }

    def raise_if_bad(self) -> None:
        """:raises CorruptBackupError: unless :attr:`ok`; lists what is wrong.
        :raises ArchivedFileError: nothing is wrong, but files could not be read before they are retrieved.
        """
        if self.ok:
            return
        found = self.all_problems()
        more = f"\n  ... and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        listed = "".join(f"\n  {one}" for one in found[:_LISTED]) + more
        if not self.problems and all(f.verdict is Verdict.ARCHIVED for f in self.bad):
            raise ArchivedFileError(
                f"The verification of {self.destination} could not read files in an archive:{listed}"
            )
        raise CorruptBackupError(f"The verification of {self.destination} failed:{listed}")

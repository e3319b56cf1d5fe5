"""What can be proven about one stored backup file, in one pass over its bytes.

All findings of a file are reported, not the first only. What :attr:`Depth.ITEMS` proves beyond size and SHA-256 (which prove
that the file is the one the manifest was written for): that the key opens it, that it decompresses, that it parses to the
end of its root object, that it holds as many items of each type as the server said it exported, and that every attachment
has the content its hash names. Of a snapshot it proves that it is a ZIP archive with its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.core.stored_file import Depth, FileReport, Finding, OnBytes, OpenRead, Problem, read_file

__all__ = ["Depth", "Expected", "FileReport", "Finding", "Problem", "check_file", "check_stored_file", "read_file"]

#: Types whose count in the export operation's result is the number of such items in the file (seen alike on 5.4, 6.2 and
#: 7.1). Others, which later servers may add, are not compared.
COMPARED = (
    "DatabaseRecord",
    "Documents",
    "Documents.Attachments",
    "RevisionDocuments",
    "RevisionDocuments.Attachments",
    "Tombstones",
    "Conflicts",
    "Indexes",
    "Identities",
    "CompareExchange",
    "CompareExchangeTombstones",
    "Counters",
    "Subscriptions",
    "TimeSeriesDeletedRanges",
    "ReplicationHubCertificates",
)
#: RavenDB's count includes time series segments whose entries were all deleted, which it does not write (SkippedCount).
COMPARED_AT_MOST = ("TimeSeries",)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file should be.

    :param size: bytes.
    :param sha256: 64 lower-case hex digits.
    :param key_id: the key it is encrypted with, None if it is not.
    :param snapshot: it is a snapshot.
    :param counts: items per type as the server counted them, None if not known.
    """

    size: int
    sha256: str
    key_id: str | None = None
    snapshot: bool = False
    counts: Mapping[str, int] | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Expected:
        """What the manifest says."""
        return cls(
            size=manifest.file.size,
            sha256=manifest.file.sha256,
            key_id=manifest.encryption.key_id if manifest.encryption else None,
            snapshot=manifest.type is BackupType.SNAPSHOT,
            counts=manifest.counts,
        )


def check_file(
    manifest: Manifest,
    open_read: OpenRead,
    *,
    key: EncryptionKey | None = None,
    depth: Depth = Depth.ITEMS,
    on_bytes: OnBytes | None = None,
) -> list[Finding]:
    """Check a file against its manifest; see :func:`check_stored_file`."""
    expected = Expected.of(manifest)
    return check_stored_file(manifest.file.name, open_read, expected, key=key, depth=depth, on_bytes=on_bytes)


def check_stored_file(
    name: str,
    open_read: OpenRead,
    expected: Expected,
    *,
    key: EncryptionKey | None = None,
    depth: Depth = Depth.ITEMS,
    on_bytes: OnBytes | None = None,
) -> list[Finding]:
    """Read the file once to its end and return everything that is wrong with it; empty: nothing is.

    Parameters as for :func:`read_file`.
    """
    report = read_file(
        name,
        open_read,
        depth=depth,
        encrypted=expected.key_id is not None,
        key=key,
        expected_key_id=expected.key_id,
        snapshot=expected.snapshot,
        on_bytes=on_bytes,
    )
    findings = list(report.findings)
    if not report.readable:
        return findings
    size, sha256 = report.digest.size, report.digest.sha256
    if size != expected.size:
        findings.append(Finding(name, Problem.SIZE, f"it has {size} bytes instead of {expected.size}."))
    if sha256 != expected.sha256:
        detail = f"its SHA-256 is {sha256} instead of {expected.sha256}; use another copy of the file."
        findings.append(Finding(name, Problem.HASH, detail))
    if report.summary is not None:
        wrong = _wrong_counts(report.summary.counts, expected.counts or {})
        findings.extend(Finding(name, Problem.COUNTS, detail) for detail in wrong)
    return findings


def _wrong_counts(counts: Mapping[str, int], expected: Mapping[str, int]) -> Iterator[str]:
    for name in COMPARED + COMPARED_AT_MOST:
        if name not in expected:
            continue
        wanted, there = expected[name], counts.get(name, 0)
        if there > wanted or (there < wanted and name in COMPARED):
            yield f"it holds {there} of type {name}, the server exported {wanted}."

"""One reading of one stored backup file: its digest, and what is wrong inside it.

Every check fails closed: a file that could not be opened, read to its end, decrypted or parsed is a finding, never "fine".
A broken content does not keep the file from being read and hashed to its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ArchivedFileError, CorruptBackupError, EncryptionKeyError
from raven_backup_provider.core.export_reader import ExportSummary, summarize
from raven_backup_provider.core.layers import EndCheck, StreamDecoder
from raven_backup_provider.core.model import Compression, FileDigest
from raven_backup_provider.core.snapshot import check_snapshot

CHUNK = 1 << 20

OpenRead = Callable[[], BinaryIO]
OnBytes = Callable[[int], None]


class Problem(str, Enum):
    """What is wrong with a file."""

    UNREADABLE = "unreadable"
    ARCHIVED = "archived"
    SIZE = "wrong size"
    HASH = "wrong SHA-256"
    KEY = "no matching key"
    DAMAGED = "damaged content"
    COUNTS = "wrong number of items"
    ATTACHMENT = "changed attachment"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one file.

    :param file: the file's name.
    :param detail: what was found, in a sentence, with the remedy where there is one.
    """

    file: str
    problem: Problem
    detail: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}: {self.detail}"


class Depth(Enum):
    """How far a file is read into."""

    BYTES = "hash"
    """Its bytes only."""
    END = "end"
    """Decoded, and whether the decoded stream closes its root object."""
    ITEMS = "deep"
    """Parsed item by item."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What one reading of a file showed.

    :param digest: of the bytes read.
    :param compression: of a logical backup that was decoded.
    :param summary: what it holds, where it was parsed to its end.
    :param findings: what is wrong with it, whatever it should have been.
    """

    digest: FileDigest
    compression: Compression | None
    summary: ExportSummary | None
    findings: tuple[Finding, ...]

    @property
    def readable(self) -> bool:
        """Whether the bytes were read to their end, so that ``digest`` is that of the file."""
        return all(finding.problem not in (Problem.UNREADABLE, Problem.ARCHIVED) for finding in self.findings)


def read_file(
    name: str,
    open_read: OpenRead,
    *,
    depth: Depth = Depth.ITEMS,
    encrypted: bool = False,
    key: EncryptionKey | None = None,
    expected_key_id: str | None = None,
    snapshot: bool = False,
    on_bytes: OnBytes | None = None,
) -> FileReport:
    """Read a file once, to its end.

    :param name: the file's name, for the findings.
    :param open_read: opens it for reading from its first byte; closed here.
    :param depth: how far to look into it.
    :param encrypted: it should be encrypted; then ``key`` is needed for more than its bytes.
    :param expected_key_id: the id of the right key, None if not known.
    :param on_bytes: called with the number of bytes of each piece read; what it raises (a cancellation) ends the reading.
    """
    reading = _Reading(open_read, on_bytes)
    findings: list[Finding] = []
    content = _Content(name, expected_key_id)
    if depth is not Depth.BYTES:
        try:
            if snapshot:
                check_snapshot(reading.chunks(), name, key)
            else:
                _require_key(name, encrypted, expected_key_id, key)
                content.decode(reading.chunks(), key if encrypted else None, parse=depth is Depth.ITEMS)
        except EncryptionKeyError as error:
            findings.append(Finding(name, Problem.KEY, str(error)))
        except CorruptBackupError as error:
            findings.append(Finding(name, Problem.DAMAGED, str(error)))
    reading.drain()
    if reading.failure is not None:
        # A stream that broke off looks cut; but nothing is known of the content then.
        findings = [finding for finding in findings if finding.problem is not Problem.DAMAGED]
        problem = Problem.ARCHIVED if reading.archived else Problem.UNREADABLE
        findings.append(Finding(name, problem, reading.failure))
    if content.summary is not None and content.summary.changed_attachments:
        where = ", ".join(str(offset) for offset in content.summary.changed_attachments[:10])
        detail = f"the content of attachments is not what their hashes say (decoded bytes {where})."
        findings.append(Finding(name, Problem.ATTACHMENT, detail))
    return FileReport(reading.digest(), content.compression, content.summary, tuple(findings))


class _Content:
    """The inside of a logical backup."""

    def __init__(self, name: str, expected_key_id: str | None) -> None:
        self._name = name
        self._expected_key_id = expected_key_id
        self.compression: Compression | None = None
        self.summary: ExportSummary | None = None

    def decode(self, chunks: Iterator[bytes], key: EncryptionKey | None, *, parse: bool) -> None:
        decoder = StreamDecoder(key, name=self._name, expected_key_id=self._expected_key_id)

        def decoded() -> Iterator[bytes]:
            for chunk in chunks:
                yield from decoder.pieces(chunk)
                self.compression = decoder.compression
            yield decoder.finish()

        if parse:
            self.summary = summarize(decoded(), name=self._name, collect_keys=False, hash_attachments=True)
        else:
            end = EndCheck(name=self._name)
            for piece in decoded():
                end.update(piece)
            end.finish()
        self.compression = decoder.compression


class _Reading:
    """The file's bytes, read once and hashed on the way, to the end even if nobody wants the rest."""

    def __init__(self, open_read: OpenRead, on_bytes: OnBytes | None) -> None:
        self._open_read = open_read
        self._on_bytes = on_bytes
        self._sha256 = hashlib.sha256()
        self._size = 0
        self.failure: str | None = None
        """Why reading stopped before the end."""
        self.archived = False
        """It stopped because the file must be retrieved from an archive first; nothing is wrong with it."""
        self._rest = self._read()

    def chunks(self) -> Iterator[bytes]:
        """What was not read yet, up to the end or a failure."""
        for chunk in self._rest:  # noqa: UP028 - "yield from" would close the reading when the parser gives up early
            yield chunk

    def drain(self) -> None:
        """Read what nobody wanted."""
        for _ in self._rest:
            pass

    def digest(self) -> FileDigest:
        """Of what was read."""
        return FileDigest(self._size, self._sha256.hexdigest())

    def _read(self) -> Iterator[bytes]:
        file: BinaryIO | None = None
        try:
            while True:
                try:
                    file = file or self._open_read()
                    chunk = file.read(CHUNK)
                except ArchivedFileError as error:
                    self.archived, self.failure = True, str(error)
                    return
                except Exception as error:  # whatever a store's client raises is a finding about this file
                    self.failure = f"reading stopped at byte {self._size}: {str(error) or type(error).__name__}"
                    return
                if not chunk:
                    return
                self._sha256.update(chunk)
                self._size += len(chunk)
                if self._on_bytes is not None:
                    self._on_bytes(len(chunk))
                yield chunk
        finally:
            if file is not None:
                with suppress(Exception):
                    file.close()


def _require_key(name: str, encrypted: bool, expected_key_id: str | None, key: EncryptionKey | None) -> None:
    if not encrypted:
        return
    with_key = f"encrypted with key {expected_key_id}" if expected_key_id else "encrypted"
    if key is None:
        raise EncryptionKeyError(f"{name} is {with_key}; without the key its content cannot be checked.")
    if expected_key_id not in (None, key.key_id):
        raise EncryptionKeyError(f"{name} is {with_key}; the key given is {key.key_id}.")

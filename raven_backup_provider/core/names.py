"""RavenDB's names of backup folders and files, and how a database becomes one safe path part.

Where the rules come from: RavenDB writes ``<time>.ravendb-<database>-<node tag>-<type>/<time><extension>`` and restores a
folder in the order of these names, whatever the modification times say. Its own servers write local time; we write UTC.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from raven_backup_provider.core.model import BackupKind, BackupType

MANIFEST_SUFFIX = ".manifest.json"
IN_PROGRESS_SUFFIX = ".in-progress"

MAX_PART_BYTES = 200
"""A path part may have 255 bytes on every common file system; the folder's name puts up to 50 round the database."""

_TIME_FORMAT = "%Y-%m-%d-%H-%M-%S"
_TIME = r"\d{4}-\d{2}-\d{2}-\d{2}-\d{2}(?:-\d{2})?"  # without seconds: written by old servers, still read
_STAMP = re.compile(_TIME, re.ASCII)
_FOLDER = re.compile(rf"({_TIME})\.ravendb-(.+)-([A-Za-z]+)-(.+)", re.DOTALL)

# Extension -> (kind, type, encrypted). RavenDB compares extensions without regard to case.
_EXTENSIONS = {
    ".ravendb-full-backup": (BackupKind.FULL, BackupType.LOGICAL, False),
    ".ravendb-encrypted-full-backup": (BackupKind.FULL, BackupType.LOGICAL, True),
    ".ravendb-incremental-backup": (BackupKind.INCREMENTAL, BackupType.LOGICAL, False),
    ".ravendb-encrypted-incremental-backup": (BackupKind.INCREMENTAL, BackupType.LOGICAL, True),
    ".ravendb-snapshot": (BackupKind.FULL, BackupType.SNAPSHOT, False),
    ".ravendb-encrypted-snapshot": (BackupKind.FULL, BackupType.SNAPSHOT, True),
}
_LEGACY_EXTENSIONS = {
    ".ravendb-full-dump": (BackupKind.FULL, BackupType.LOGICAL, False),
    ".ravendb-incremental-dump": (BackupKind.INCREMENTAL, BackupType.LOGICAL, False),
}
_READABLE = _EXTENSIONS | _LEGACY_EXTENSIONS
_WRITTEN = {what: extension for extension, what in _EXTENSIONS.items()}


@dataclass(frozen=True, slots=True)
class FolderName:
    """What the name of a backup folder says.

    :param time: as written in the name and taken as UTC; a folder that a server made itself is in that server's local time.
    :param database: as spelled in the name: :func:`database_folder` of the database for folders of ours.
    """

    time: datetime
    database: str
    node_tag: str
    backup_type: BackupType


@dataclass(frozen=True, slots=True)
class FileName:
    """What the name of a backup file says. RavenDB restores files of any name that bear a known extension, so one
    whose name is no time is a backup file as well: ``time`` is None."""

    time: datetime | None
    kind: BackupKind
    backup_type: BackupType
    encrypted: bool


def folder_name(started: datetime, database: str, node_tag: str, backup_type: BackupType) -> str:
    """Name of the folder of a new chain.

    :param started: an aware time; written in UTC, fractions of a second are cut.
    :raises ValueError: a naive time, or a node tag that is not letters only (RavenDB could not read the name back).
    """
    if not re.fullmatch(r"[A-Za-z]+", node_tag):
        raise ValueError(f"a node tag consists of letters, not {node_tag!r}")
    return f"{_stamp(started)}.ravendb-{database_folder(database)}-{node_tag}-{backup_type.value}"


def file_name(started: datetime, kind: BackupKind, backup_type: BackupType, encrypted: bool) -> str:
    """Name of one backup file.

    :raises ValueError: a naive time, or an incremental snapshot (RavenDB makes logical incrementals after a snapshot).
    """
    if backup_type is BackupType.SNAPSHOT and kind is not BackupKind.FULL:
        raise ValueError("a snapshot is always full; the incrementals after it are logical backups")
    return _stamp(started) + _WRITTEN[(kind, backup_type, encrypted)]


def parse_folder_name(name: str) -> FolderName | None:
    """What a folder's name says; None if RavenDB did not name it so.

    ``...ravendb-encrypted-full-backup`` is a file's, although a database "encrypted" on a node "full" would make it a folder's.
    """
    match = _FOLDER.fullmatch(name)
    if match is None or parse_file_name(name) is not None:
        return None
    time = _parse_stamp(match[1])
    try:
        backup_type = BackupType(match[4].lower())
    except ValueError:
        return None
    return FolderName(time, match[2], match[3], backup_type) if time else None


@lru_cache(maxsize=4096)  # each is asked for several times while its folder is read
def parse_file_name(name: str) -> FileName | None:
    """What a file's name says; None if RavenDB's restore would pass it over."""
    stem, extension = _split(name)
    what = _READABLE.get(extension.lower())
    return FileName(_parse_stamp(stem), *what) if what else None


def manifest_name(file_name: str) -> str:
    """Name of the manifest of a backup file. It sorts after the file and begins with the same time, so that a server's
    own retention still reads the age of the folder from it."""
    return file_name + MANIFEST_SUFFIX


def backup_name_of_manifest(name: str) -> str | None:
    """The backup file that a manifest belongs to; None if ``name`` is no manifest of a backup file."""
    if not name.endswith(MANIFEST_SUFFIX):
        return None
    backup = name[: -len(MANIFEST_SUFFIX)]
    return backup if parse_file_name(backup) else None


def restore_order_key(name: str) -> tuple[str, int]:
    """Sorts the files of a folder as RavenDB's restore does: name without extension, a full before an incremental."""
    stem, extension = _split(name)
    what = _READABLE.get(extension.lower())
    return stem, 2 if what is None else int(what[0] is BackupKind.INCREMENTAL)


def next_stamp(now: datetime, after: datetime | None) -> datetime:
    """The time that names the next file: UTC, whole seconds, later than ``after`` even if the clock went back."""
    stamp = _utc(now).replace(microsecond=0)
    if after is None:
        return stamp
    return max(stamp, _utc(after).replace(microsecond=0) + timedelta(seconds=1))


# --- a database as one path part ----------------------------------------------------------------------------------
#
# "=" and two hex digits stand for one byte of UTF-8, "=" itself always among them, so every part reads back to one name
# only and no two names meet, however many characters are escaped. "%" would do as well, but tools that decode URLs, and
# RavenDB's expansion of %VARIABLES% in paths, would read it in their own way. A part that is not a run of such escapes
# ("=-", "=empty") cannot come from them.

_DEVICE_NAMES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])[ ]*(\.|$)", re.IGNORECASE
)
# Fixed lists, not Unicode categories: those grow with every Python version, and a folder must not change its name.
_UNSAFE = re.compile(
    "["
    "=%"
    '/\\\\:*?"<>|'  # separators, and what Windows shares and SMB refuse
    "\x00-\x1f\x7f-\xa0"  # control characters, no-break space
    "\u00ad\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"  # invisible, or turning the direction of a log line
    "\ud800-\udfff\ufff0-\uffff"
    "]"
)


def database_folder(database: str) -> str:
    """One path part, at most 200 bytes of UTF-8, that no other database name maps to. A plain name stays itself.

    The same database in another letter case may map to another part: look names up ignoring case.
    """
    if not database:
        return "=empty"
    escape_all = unicodedata.normalize("NFC", database) != database  # some stores normalise names: never let two meet
    last = len(database) - 1
    # Listings pass over the one, and take the other for a backup folder of a database without a folder of its own.
    ours = database.endswith(IN_PROGRESS_SUFFIX) or _FOLDER.fullmatch(database) is not None
    device = _DEVICE_NAMES.match(database) is not None
    pieces = [
        _escaped(char)
        if _UNSAFE.match(char)
        or (escape_all and ord(char) > 0x7F)
        or (at == 0 and (device or char in ". "))
        or (at == last and (ours or char in ". "))
        else char
        for at, char in enumerate(database)
    ]
    part = "".join(pieces)
    return part if len(part.encode()) <= MAX_PART_BYTES else _shortened(database, pieces)


def _escaped(char: str) -> str:
    return "".join(f"={byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _shortened(database: str, pieces: list[str]) -> str:
    """The start of the name, cut between characters, and a hash of the whole."""
    suffix = "=-" + hashlib.blake2b(database.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    room = MAX_PART_BYTES - len(suffix)
    kept: list[str] = []
    for piece in pieces:
        room -= len(piece.encode())
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + suffix


def _split(name: str) -> tuple[str, str]:
    dot = name.rfind(".")
    return (name, "") if dot < 0 else (name[:dot], name[dot:])


def _utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError("a time without a time zone cannot name a backup")
    return time.astimezone(timezone.utc)


def _stamp(time: datetime) -> str:
    # Not strftime: it pads years below 1000 differently from one C library to the next.
    utc = _utc(time)
    return f"{utc.year:04}-{utc.month:02}-{utc.day:02}-{utc.hour:02}-{utc.minute:02}-{utc.second:02}"


def _parse_stamp(text: str) -> datetime | None:
    if not _STAMP.fullmatch(text):
        return None
    parts = [int(part) for part in text.split("-")]
    try:
        return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type,misc]
    except ValueError:
        return None

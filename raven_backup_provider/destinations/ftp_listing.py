"""What FTP servers say about files: MLSD/MLST facts (RFC 3659), MDTM times, and the lines of LIST where there is nothing better."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from raven_backup_provider.destinations.server_session import Entry

_UNIX = re.compile(
    r"(?P<kind>[-dlbcps])[-rwxsStTl]{9}[.+@]?\s+\d+\s+\S+\s+\S+\s+(?P<size>\d+)\s+"
    r"[A-Za-z]{3}\s+\d{1,2}\s+(?:\d{4}|\d{1,2}:\d{2}) (?P<name>.+)"
)
_DOS = re.compile(
    r"\d{2}-\d{2}-(?:\d{2}|\d{4})\s+\d{2}:\d{2}(?:[AP]M)?\s+(?:(?P<folder><DIR>)\s+|(?P<size>\d+)\s)(?P<name>.+)"
)


def parse_facts(line: str) -> Entry | None:
    """A line of MLSD or MLST: ``type=file;size=5;modify=20260101120000; name``; None: neither file nor folder."""
    facts_text, _, name = line.partition(" ")
    facts = dict(part.lower().partition("=")[::2] for part in facts_text.split(";") if "=" in part)
    kind = facts.get("type", "")
    if kind not in ("file", "dir", "cdir", "pdir") or not name:
        return None
    size = facts.get("size", "")
    return Entry(name, kind != "file", int(size) if size.isdigit() else 0, parse_time(facts.get("modify", "")))


def is_self_or_parent(line: str) -> bool:
    """MLSD lists the folder itself and the one above it too."""
    facts = line.partition(" ")[0].lower()
    return "type=cdir" in facts or "type=pdir" in facts


def parse_time(text: str) -> datetime | None:
    """``YYYYMMDDHHMMSS[.fraction]``, UTC."""
    try:
        return datetime.strptime(text.strip().partition(".")[0], "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def parse_list(lines: list[str]) -> list[Entry] | None:
    """Entries of LIST in the form of Unix or DOS, without times (they lack the zone, mostly the year or the second).

    None: at least one line is neither, so that something could be missed.
    """
    found = []
    for line in lines:
        if not line.strip() or re.fullmatch(r"total \d+", line):
            continue
        unix, dos = _UNIX.fullmatch(line), _DOS.fullmatch(line)
        if unix is not None:
            if unix["kind"] in "-d" and unix["name"] not in (".", ".."):
                found.append(Entry(unix["name"], unix["kind"] == "d", int(unix["size"])))
        elif dos is not None:
            if dos["name"] not in (".", ".."):
                found.append(Entry(dos["name"], dos["folder"] is not None, int(dos["size"] or 0)))
        else:
            return None
    return [entry if not entry.is_folder else Entry(entry.name, True) for entry in found]

"""What the user sees: tables and one JSON document on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO, cast

from raven_backup_provider.core.errors import RavenBackupError

#: Seconds between two progress lines of one file.
PROGRESS_INTERVAL = 10.0
_RIGHT = ">"


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")


def print_table(
    titles: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = (), indent: str = ""
) -> None:
    """A table with columns as wide as their content; columns named in ``right`` are aligned to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max(len(title), *(len(row[i]) for row in cells)) if cells else len(title) for i, title in enumerate(titles)
    ]
    for row in [list(titles), ["-" * width for width in widths], *cells]:
        line = "  ".join(
            f"{cell:{_RIGHT if title in right else '<'}{width}}"
            for cell, width, title in zip(row, widths, titles, strict=True)
        )
        print(indent + line.rstrip())


def print_facts(facts: Mapping[str, object]) -> None:
    """Name and value, one pair a line; empty values are left out."""
    shown = {name: value for name, value in facts.items() if value not in (None, "", (), [])}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        print(f"{name:<{width}}  {value}")


class _Stderr:
    """Whatever stderr is at the moment of writing."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def log_to_stderr() -> None:
    """What Airflow and its hooks log goes to stderr: they would write it into the midst of a JSON document."""
    import structlog

    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.__stdout__):
            handler.setStream(_Stderr())
    structlog.configure(
        **{**structlog.get_config(), "logger_factory": structlog.WriteLoggerFactory(cast("TextIO", _Stderr()))}
    )


def say(text: str) -> None:
    """A line for people on stderr."""
    print(text, file=sys.stderr, flush=True)


def size_text(size: int) -> str:
    """Bytes in words."""
    if size < 1024:
        return f"{size} B"
    value, unit = size / 1024, "KiB"
    for bigger in ("MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, bigger
    return f"{value:.1f} {unit}"


def error_document(error: BaseException, code: int) -> dict[str, Any]:
    """An error for scripts."""
    retryable = isinstance(error, RavenBackupError) and error.retryable
    return {"error": {"type": type(error).__name__, "message": str(error), "retryable": retryable, "exit_code": code}}


def file_progress(verb: str) -> Callable[[str, int, int], None]:
    """A callback (file, bytes done, bytes total) that says at most every ten seconds how far a file is."""
    said: dict[str, float] = {}

    def tell(file: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - said.setdefault(file, now) >= PROGRESS_INTERVAL:
            said[file] = now
            percent = f" ({100 * done // total} %)" if total else ""
            say(f"{verb} {file}: {size_text(done)} of {size_text(total)}{percent}")

    return tell

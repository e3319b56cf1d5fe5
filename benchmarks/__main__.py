"""``python -m benchmarks``: measure, print Markdown tables, and keep the raw figures as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.measuring import HEADER, Figure, measure_pairs
from benchmarks.memory import peak_kib
from benchmarks.subjects import Subject, change_share, large_documents
from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.model import RequestedKind

WHAT = ("full", "encrypted", "incremental", "restore", "memory")
LARGE_DOCUMENT = 8192


def main() -> None:
    options = _options()
    logging.basicConfig(level=logging.WARNING)
    figures: list[Figure] = []
    folder = Path(tempfile.mkdtemp(prefix="raven-backup-benchmarks-", dir=options.scratch))
    try:
        with RavenServer(options.version) as server:
            print(f"RavenDB {options.version}, Python {platform.python_version()}, median of {options.repeat}\n")
            with _filled(server, "million", folder, options) as subject:
                figures += _rows(subject, options, f"{options.documents:,} documents of 1 KB")
                if "memory" in options.what:
                    _print_memory(subject, f"{options.documents:,} documents of 1 KB")
            if options.gigabytes:
                with _filled(server, "large", folder, options) as subject:
                    figures += _rows(subject, options, f"{options.gigabytes:g} GB")
                    if "memory" in options.what:
                        _print_memory(subject, f"{options.gigabytes:g} GB")
            if "memory" in options.what:
                with _filled(server, "small", folder, options) as subject:
                    _print_memory(subject, "100 MB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        raw = [{"what": f.what, "ours": f.ours, "theirs": f.theirs, "ratio": f.ratio, "bar": f.bar} for f in figures]
        Path(options.json).write_text(json.dumps(raw, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", default=[], help=f"any of {', '.join(WHAT)}; all by default")
    parser.add_argument("--version", default="7.1.5", help="RavenDB version")
    parser.add_argument("--documents", type=int, default=1_000_000, help="1 KB documents of the first database")
    parser.add_argument("--gigabytes", type=float, default=5.0, help="size of the second database, 0: leave it out")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scratch", help="where the files go; the system's temporary folder by default")
    parser.add_argument("--json", help="write the raw figures to this file")
    options = parser.parse_args()
    unknown = set(options.what) - set(WHAT)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; there are {', '.join(WHAT)}")
    options.what = options.what or list(WHAT)
    return options


@contextmanager
def _filled(server: RavenServer, name: str, folder: Path, options: argparse.Namespace) -> Iterator[Subject]:
    data.create_database(server, name)
    if name == "million":
        data.fill(server, name, options.documents)
    elif name == "small":
        data.fill(server, name, 100_000)
    else:
        data.put_documents(server, name, large_documents(int(options.gigabytes * 1e9 / LARGE_DOCUMENT), LARGE_DOCUMENT))
    try:
        yield Subject(server, name, folder / name)
    finally:
        data.delete_database(server, name)
        shutil.rmtree(folder / name, ignore_errors=True)


def _rows(subject: Subject, options: argparse.Namespace, size: str) -> Iterator[Figure]:
    print(HEADER)
    encrypted = replace(subject, folder=subject.folder / "encrypted", key=EncryptionKey.generate())
    if "full" in options.what:
        yield _show(measure_pairs(f"full, {size}", subject.full, subject.native_full, options.repeat, 1.05))
    if "encrypted" in options.what:
        yield _show(
            measure_pairs(f"full, encrypted, {size}", encrypted.full, subject.native_full, options.repeat, 1.15)
        )
    if "incremental" in options.what and subject.database == "million":
        yield _show(_incremental(subject, options, size))
    if "restore" in options.what:
        subject.full()
        yield _show(measure_pairs(f"restore, {size}", subject.restore, subject.native_restore, options.repeat, 1.3))
    print()


def _incremental(subject: Subject, options: argparse.Namespace, size: str) -> Figure:
    fulls, incrementals = [], []
    for turn in range(1, options.repeat + 1):
        fulls.append(subject.full())
        change_share(subject, options.documents, 0.01, turn)
        incrementals.append(subject.backup(RequestedKind.INCREMENTAL))
    return Figure(f"incremental after 1 %, {size}", tuple(incrementals), tuple(fulls), 0.03, allowance=1.0)


def _show(figure: Figure) -> Figure:
    print(figure.row(), flush=True)
    return figure


def _print_memory(subject: Subject, size: str) -> None:
    idle = peak_kib(None)
    for name, key in (("plain", None), ("encrypted", EncryptionKey.generate())):
        shutil.rmtree(subject.root, ignore_errors=True)
        peak = peak_kib(replace(subject, key=key))
        print(f"Memory, {name}, {size}: peak {peak / 1024:.0f} MiB, {(peak - idle) / 1024:.0f} MiB above idle (bar 60)")
    print(flush=True)


if __name__ == "__main__":
    main()

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.cli import main


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


RavenBackup = Callable[..., Answer]


@pytest.fixture
def own_logging() -> Iterator[None]:
    """The command sets up logging for its process; other tests of this one shall not notice."""
    ours = logging.getLogger("raven_backup_provider")
    before = list(ours.handlers), ours.level, ours.propagate
    yield
    ours.handlers[:], ours.propagate = before[0], before[2]
    ours.setLevel(before[1])


@pytest.fixture
def raven_backup(capsys: pytest.CaptureFixture[str], own_logging: None) -> RavenBackup:
    """``raven_backup("list", "--destination", ...) -> Answer``: the command, in this process."""

    def run(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


def command(*arguments: str | Path) -> list[str]:
    """The command line of ``raven-backup`` as a process of its own."""
    return [sys.executable, "-m", "raven_backup_provider.cli", *map(str, arguments)]


def run_command(*arguments: str | Path, environment: dict[str, str] | None = None) -> Answer:
    """``raven-backup`` in a process of its own."""
    done = subprocess.run(
        command(*arguments), env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=120
    )
    return Answer(done.returncode, done.stdout, done.stderr)

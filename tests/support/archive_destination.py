"""A fake of an archive in front of a folder: files that must be retrieved before they can be read.

Real ones (S3's archive classes, Glacier vaults) have their own adapters and tests; this one shows what callers do with any of
them, in no time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import ModuleType
from typing import Any, BinaryIO

import pytest

from raven_backup_provider.core.destination import Destination, Retrieval, RetrievalState
from raven_backup_provider.core.errors import ArchivedFileError, ConfigurationError, FileMissingAtDestinationError
from raven_backup_provider.hooks import storage
from tests.support.fault_destination import FaultDestination

TIERS = {"expedited": "1-5 min", "standard": "3-5 h", "bulk": "5-12 h"}


@dataclass
class ArchiveDestination(FaultDestination):
    """A folder whose backup files are archived on request of the test.

    :param states: of keys that are not simply readable.
    :param asked: (key, tier, days) of each retrieval asked for.
    """

    states: dict[str, RetrievalState] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)

    def archive(self, *keys: str) -> None:
        """Put files into the archive: those named, or all backup files."""
        listed = [file.key for file in self.inner.list_files("") if not file.key.endswith(".json")]
        self.states |= dict.fromkeys(keys or listed, RetrievalState.ARCHIVED)

    def finish(self, *keys: str) -> None:
        """End retrievals: those named, or all that run."""
        for key in keys or [k for k, state in self.states.items() if state is RetrievalState.RUNNING]:
            assert self.states[key] is RetrievalState.RUNNING, f"nobody asked for {key}"
            del self.states[key]

    def retrieval(self, key: str) -> Retrieval:
        self.meet("retrieval", key)
        if self.inner.stat(key) is None:
            raise FileMissingAtDestinationError(f"There is no file '{key}' in {self.identity}.")
        state = self.states.get(key, RetrievalState.READABLE)
        until = datetime(2099, 1, 1, tzinfo=timezone.utc) if state is RetrievalState.READABLE else None
        return Retrieval(state, until)

    def request_retrieval(self, key: str, *, tier: str | None = None, days: int = 3) -> str:
        self.meet("request_retrieval", key)
        speed = (tier or "standard").lower()
        if speed not in TIERS:
            raise ConfigurationError(f"{self.identity} has no tier {tier!r}; it has {', '.join(TIERS)}.")
        if self.states.get(key) is RetrievalState.ARCHIVED:
            self.states[key] = RetrievalState.RUNNING
            self.asked.append((key, speed, days))
        return f"tier {speed}, known to take {TIERS[speed]}"

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        if key in self.states:
            raise ArchivedFileError(f"'{key}' in {self.identity} lies in an archive: standard retrieval takes 3-5 h.")
        return super().open_read(key, offset)


def offer_as_store(monkeypatch: pytest.MonkeyPatch, places: dict[str, Callable[[], Destination]]) -> None:
    """Let operators, triggers and the command open ``tape://<any connection>@<name>``."""
    module = ModuleType("raven_backup_provider.hooks.tape_store")

    def open_store(address: Any, connection: Any) -> Destination:
        return places[address.place]()

    module.open_store = open_store  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(storage.STORES, "tape", storage.Store("tape_store", ("tape",), "tape"))

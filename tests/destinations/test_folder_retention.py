"""Retention in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.destinations.folder import FolderDestination
from tests.destinations.retention_contract import RetentionContract


class TestFolderRetention(RetentionContract):
    @pytest.fixture
    def destination(self, tmp_path: Path) -> Destination:
        return FolderDestination(tmp_path)

    @pytest.fixture
    def same_place(self, destination: Destination, tmp_path: Path) -> Destination:
        return FolderDestination(tmp_path)

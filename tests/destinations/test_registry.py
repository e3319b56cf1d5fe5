"""Opening a destination by its kind or by a URI."""

from __future__ import annotations

from pathlib import Path

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations import registry
from raven_backup_provider.destinations.registry import Kind, open_destination, open_uri


def test_a_folder_is_opened_by_its_kind_and_settings(tmp_path: Path) -> None:
    destination = open_destination("folder", root=tmp_path, server_path="/srv", file_mode=0o640)
    assert destination.identity == f"folder:{tmp_path}"


@pytest.mark.parametrize("form", ["{}", "folder:{}", "folder://{}", "file://{}", "file://localhost{}"])
def test_a_folder_is_opened_by_its_path_or_uri(tmp_path: Path, form: str) -> None:
    assert open_uri(form.format(tmp_path)).identity == f"folder:{tmp_path}"


def test_escaped_characters_of_a_file_uri_are_read(tmp_path: Path) -> None:
    assert open_uri(f"file://{tmp_path}/a%20b").identity == f"folder:{tmp_path}/a b"
    assert open_uri(f"folder:{tmp_path}/a%20b").identity == f"folder:{tmp_path}/a%20b"


@pytest.mark.parametrize("uri", ["", "backups", "folder:backups", "file://server/share", "s4://bucket", "C:\\backups"])
def test_what_names_no_destination_is_refused_with_the_forms_there_are(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="folder:/path"):
        open_uri(uri)


def test_an_unknown_kind_is_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'tape'.*folder"):
        open_destination("tape")


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="bucket"):
        open_destination("folder", root="/x", bucket="b")


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.KINDS, "cloud", Kind("no_such_package_at_all.adapter", "X", extra="cloud"))
    with pytest.raises(ConfigurationError, match=r"pip install 'raven-backup-provider\[cloud\]'"):
        open_destination("cloud", bucket="b")

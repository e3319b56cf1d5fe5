"""``create=true`` on a file server: a folder that is not there yet is a place without backups, and is made by the first write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raven_backup_provider.core.errors import DestinationAccessError
from raven_backup_provider.destinations.server_folder import ServerDestination
from tests.support.ftpd import PyFtpd
from tests.support.sshd import SshServer


@pytest.fixture(scope="module", params=["sftp", "ftp"])
def file_server(request: pytest.FixtureRequest) -> Iterator[Any]:
    with SshServer() if request.param == "sftp" else PyFtpd() as running:
        yield running


@pytest.fixture
def place(file_server: Any) -> Callable[..., ServerDestination]:
    root = file_server.new_root()

    def open_place(name: str, **settings: Any) -> ServerDestination:
        found: ServerDestination = file_server.destination(root / name, **settings)
        return found

    return open_place


def looks(destination: ServerDestination) -> list[Callable[[], Any]]:
    """What a copy, an audit and a retention do before anything is written."""
    return [
        lambda: list(destination.list_files("")),
        lambda: list(destination.list_files("shop")),
        lambda: destination.list_folders(""),
        lambda: destination.stat("shop/file"),
        lambda: destination.delete(["shop/file"]),
        lambda: destination.sweep_partial(""),
    ]


def test_what_will_be_made_is_empty_until_then(place: Callable[..., ServerDestination]) -> None:
    destination = place("new/deep", create=True)
    assert [look() for look in looks(destination)] == [[], [], [], None, None, []]
    assert destination.put("shop/file", b"bytes").size == 5
    assert [file.key for file in place("new/deep").list_files("")] == ["shop/file"]


def test_what_will_not_be_made_is_refused_whatever_is_asked(place: Callable[..., ServerDestination]) -> None:
    for look in looks(place("missing"))[:5]:
        with pytest.raises(DestinationAccessError, match="does not exist on that server"):
            look()


def test_a_file_in_its_place_is_refused_also_if_it_may_be_made(place: Callable[..., ServerDestination]) -> None:
    place(".").put("file", b"bytes")
    with pytest.raises(DestinationAccessError, match="is not a folder"):
        place("file", create=True).delete(["more"])

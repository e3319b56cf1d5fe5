"""What a Connection of type sftp or ssh and an address become, against a real OpenSSH server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError, DestinationAccessError, DestinationError
from raven_backup_provider.destinations.sftp import SftpDestination
from raven_backup_provider.hooks.storage import open_destination
from tests.destinations.contract import FILE, keys, load, store
from tests.support.airflow_fixtures import SetConnection
from tests.support.server_process import free_port
from tests.support.sshd import SshServer


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    with SshServer() as running:
        yield running


@pytest.fixture
def root(server: SshServer) -> Path:
    return server.new_root()


@pytest.fixture
def box(server: SshServer, set_connection: SetConnection) -> Any:
    """``box(extra=..., **fields)``: a Connection to the server, by key unless a password is given."""

    def make(conn_type: str = "sftp", extra: dict[str, Any] | None = None, **fields: Any) -> str:
        given = {"host_key": server.host_key, **(extra or {})}
        if "password" not in fields and "private_key" not in given:
            given.setdefault("key_file", str(server.folder / "user_key"))
        given = {name: value for name, value in given.items() if value is not None}
        fields = {"host": "127.0.0.1", "port": server.port, "login": server.user.name, **fields}
        return set_connection("box", conn_type, extra=given, **fields)

    return make


def opened(argument: str) -> SftpDestination:
    destination = open_destination(argument)
    assert isinstance(destination, SftpDestination)
    destination._link.back_off = ()
    return destination


@pytest.mark.parametrize("conn_type", ["sftp", "ssh"])
def test_an_address_with_a_connection_is_a_place_for_backups(
    box: Any, server: SshServer, root: Path, conn_type: str
) -> None:
    box(conn_type)
    destination = opened(f"sftp://box@{root}")
    store(destination, FILE)
    assert load(destination, FILE) == b"content"
    assert (root / FILE).stat().st_mode & 0o777 == 0o600
    assert destination.identity == f"sftp://{server.user.name}@127.0.0.1:{server.port}{root}"
    free = destination.free_bytes()
    assert free is not None
    assert free > 0


def test_a_path_below_the_logins_own_folder_and_settings_work(box: Any, server: SshServer, root: Path) -> None:
    box()
    path = "/~/new/deep" if server.user.password else f"{root}/new/deep"
    destination = opened(f"sftp://box@{path}?create=true&file_mode=640&read_back=false&bandwidth_mb=500&timeout=20")
    store(destination, FILE)
    place = server.home if server.user.password else root
    assert (place / "new/deep" / FILE).stat().st_mode & 0o777 == 0o640
    assert (place / "new/deep" / FILE).parent.stat().st_mode & 0o777 == 0o750


def test_the_connections_id_alone_is_enough_where_its_extra_says_the_folder(box: Any, root: Path) -> None:
    assert opened(box(extra={"raven_backup": {"path": str(root), "read_back": True}})).identity.endswith(str(root))


def test_a_key_as_text_is_taken(box: Any, server: SshServer, root: Path) -> None:
    box(extra={"private_key": server.private_key})
    opened(f"sftp://box@{root}").check_writable()


def test_a_password_lets_in_and_a_wrong_one_is_said_to_be_that_without_showing_it(
    box: Any, server: SshServer, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not server.user.password:
        pytest.skip("a user with a password can be made by root only")
    caplog.set_level(logging.DEBUG)
    box(password=server.user.password, extra={"look_for_keys": "false"})
    opened(f"sftp://box@{root}").check_writable()
    assert server.user.password not in caplog.text
    box(password="hunter2-wrong", extra={"look_for_keys": "false"})
    destination = opened(f"sftp://box@{root}")
    with pytest.raises(DestinationAccessError, match="refuses the login") as raised:
        destination.check_writable()
    assert "hunter2-wrong" not in str(raised.value) + repr(destination) + caplog.text
    assert server.user.name in str(raised.value)
    refusals = [record for record in caplog.records if "Failed to connect" in record.getMessage()]
    assert not refusals, "a refused login must not be repeated: that locks accounts"


def test_an_unknown_host_key_is_refused_with_how_to_make_it_known(
    box: Any, server: SshServer, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    box(extra={"host_key": None})
    with pytest.raises(DestinationAccessError, match=r"'host_key'.*ssh-keyscan"):
        opened(f"sftp://box@{root}").check_writable()
    assert list(root.iterdir()) == []


def test_a_changed_host_key_is_refused_and_both_are_named(box: Any, root: Path, tmp_path: Path) -> None:
    other = SshServer.__new__(SshServer)
    other.folder = tmp_path
    other.make_host_key()
    box(extra={"host_key": other.host_key})
    with pytest.raises(DestinationAccessError, match="HOST KEY HAS CHANGED") as raised:
        opened(f"sftp://box@{root}").check_writable()
    assert str(raised.value).count("ssh-ed25519 SHA256:") == 2
    assert not raised.value.retryable


def test_the_check_is_left_out_only_where_the_connection_says_so(box: Any, root: Path) -> None:
    box(extra={"host_key": None, "no_host_key_check": True})
    opened(f"sftp://box@{root}").check_writable()


def test_nothing_is_compressed_unless_that_is_asked_for(box: Any, root: Path) -> None:
    for extra, expected in (({}, "none"), ({"compress": "true"}, "zlib@openssh.com")):
        box(extra=extra)
        destination = opened(f"sftp://box@{root}")
        session = destination._link.take()
        assert session._hang_up.__self__.get_transport().local_compression == expected
        session.close()


def test_no_server_there_and_no_such_host_are_told_apart(box: Any, root: Path) -> None:
    box(port=free_port())
    with pytest.raises(DestinationError, match="Look whether the server is up") as raised:
        opened(f"sftp://box@{root}").check_writable()
    assert raised.value.retryable
    box(host="no-such-host.invalid")
    with pytest.raises(DestinationError, match=r"there is no host 'no-such-host\.invalid'"):
        opened(f"sftp://box@{root}").check_writable()


def test_a_login_without_sftp_is_said_to_be_that(set_connection: SetConnection, box: Any) -> None:
    with SshServer(more="ForceCommand /bin/true\n") as other:
        extra = {"host_key": other.host_key, "key_file": str(other.folder / "user_key")}
        set_connection("shell", "ssh", host="127.0.0.1", port=other.port, login=other.user.name, extra=extra)
        with pytest.raises(DestinationError, match=r"SFTP.*(could not be started|no SFTP there)"):
            opened(f"sftp://shell@{other.home}").check_writable()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sftp://box@", "names no folder"),
        ("sftp://box@/", "names no folder"),
        ("box", "names no folder"),
        ("sftp://box@host.example/backups", "'host.example' stands where a bucket stands"),
        ("sftp://box@/b?compres=false", "unknown setting compres. Known: bandwidth_mb, create, file_mode"),
        ("sftp://box@/b?bandwidth_mb=fast", "bandwidth_mb must be a number"),
        ("sftp://box@/b?bandwidth_mb=0", "bandwidth_mb must be a number"),
        ("sftp://box@/b?timeout=1e9", "timeout must be at most"),
        ("sftp://box@/b?read_back=perhaps", "read_back must be true or false"),
        ("sftp://box@/b?file_mode=9", "file_mode must be rights"),
        ("sftp://box@/b?file_mode=044", "file_mode must be rights"),
        ("sftp://box@/a/../b", "must not have"),
    ],
)
def test_a_wrong_address_is_refused_with_what_would_be_right(box: Any, address: str, words: str) -> None:
    box()
    with pytest.raises(ConfigurationError, match=words):
        open_destination(address)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"host_key": "ssh-dss AAAA"}, "DSA"),
        ({"host_key": "ssh-ed25519 not base64!"}, "cannot be used for SFTP"),
        ({"private_key": "SECRETTEXT"}, "BEGIN and END"),
        ({"no_host_key_check": "perhaps", "host_key": None}, "no_host_key_check must be true or false"),
    ],
)
def test_a_wrong_connection_is_refused_without_repeating_its_secrets(
    box: Any, extra: dict[str, Any], words: str
) -> None:
    box(extra=extra)
    with pytest.raises(ConfigurationError, match=words) as raised:
        open_destination("sftp://box@/b")
    assert "SECRETTEXT" not in str(raised.value)


def test_a_missing_key_file_is_named(box: Any) -> None:
    box(extra={"key_file": "/nowhere/id"})
    with pytest.raises(DestinationAccessError, match="/nowhere/id cannot be read on this worker"):
        opened("sftp://box@/b").check_writable()


def test_server_path_is_for_folders(box: Any) -> None:
    box()
    with pytest.raises(ConfigurationError, match="server_path is for folders"):
        open_destination("sftp://box@/b", "/srv")


def test_a_second_look_at_the_same_place_sees_the_same(box: Any, root: Path) -> None:
    box()
    store(opened(f"sftp://box@{root}"), FILE)
    assert keys(opened(f"sftp://box@{root}/")) == [FILE]


@pytest.mark.parametrize(
    ("offered", "extra", "cipher"),
    [
        ("aes128-ctr,aes256-gcm@openssh.com,aes128-gcm@openssh.com", {}, "-gcm@openssh.com"),
        ("aes128-ctr", {}, "aes128-ctr"),
        (
            "aes128-ctr,aes128-gcm@openssh.com",
            {"disabled_algorithms": {"ciphers": ["aes128-gcm@openssh.com"]}},
            "aes128-ctr",
        ),
    ],
    ids=["the fast one is offered", "it is not", "the Connection does not want it"],
)
def test_the_cheapest_cipher_that_both_know_is_used(
    set_connection: SetConnection, offered: str, extra: dict[str, Any], cipher: str
) -> None:
    with SshServer(more=f"Ciphers {offered}\n") as other:
        extra = {"host_key": other.host_key, "key_file": str(other.folder / "user_key"), **extra}
        set_connection("box", "sftp", host="127.0.0.1", port=other.port, login=other.user.name, extra=extra)
        destination = opened(f"sftp://box@{other.new_root()}")
        session = destination._link.take()
        assert session._hang_up.__self__.get_transport().local_cipher.endswith(cipher)
        session.close()
        store(destination, FILE)
        destination.close()

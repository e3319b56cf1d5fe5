"""The sandbox starts real servers of every supported version, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, SandboxError, connect_or_start, runtime, server
from demo.sandbox.data import create_database, database_names, put_document, sample_data, statistics
from tests.support.servers import MakeDatabase

REPOSITORY = Path(__file__).parents[2]
UNICODE_NAME = "größe-данные.数据_1"


def test_each_version_runs_and_keeps_a_database_with_a_unicode_name(
    any_raven: RavenServer, database: MakeDatabase
) -> None:
    name = database(any_raven, UNICODE_NAME)
    put_document(any_raven, name, "größe/1", {"данные": "数据"})
    assert any_raven.version == any_raven.release.version
    assert name in database_names(any_raven)
    assert statistics(any_raven, name)["CountOfDocuments"] == 1


def test_without_libicu_unicode_names_still_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "has_icu", lambda: False)
    monkeypatch.setattr(server, "find_dotnet", runtime.find_dotnet.__wrapped__)
    with RavenServer() as raven:
        create_database(raven, UNICODE_NAME)
        sample_data(raven, UNICODE_NAME)
        environment = Path(f"/proc/{raven.pid}/environ").read_bytes()
        assert b"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1" in environment
        assert database_names(raven) == [UNICODE_NAME]
        assert statistics(raven, UNICODE_NAME)["CountOfDocuments"] == 1059


def test_a_killed_server_comes_back_on_the_same_port_with_its_data() -> None:
    with RavenServer("5.4.207") as raven:
        create_database(raven, "kept")
        url = raven.url
        raven.kill()
        assert not raven.running
        raven.start()
        assert raven.url == url
        assert database_names(raven) == ["kept"]


def test_a_stopped_server_leaves_no_files_unless_a_folder_was_given(tmp_path: Path) -> None:
    with RavenServer("5.4.207") as temporary, RavenServer("5.4.207", home=tmp_path / "home") as kept:
        folders = temporary.home, kept.home
    assert not folders[0].exists()
    assert (folders[1] / "data").is_dir()


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(SandboxError, match=r"ended with code -?\d+(?s:.*)no-such-setting-value"):
        RavenServer(settings={"Setup.Mode": "no-such-setting-value"}).start()


def test_an_unknown_version_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SandboxError, match=r"4\.0\.0 .* 7\.1\.5, 6\.2\.4, 5\.4\.207"):
        RavenServer("4.0.0")


def test_the_server_named_by_the_environment_is_used_instead(
    raven71: RavenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAVENDB_URL", raven71.url)
    assert connect_or_start().url == raven71.url


def test_a_dead_server_named_by_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAVENDB_URL", "http://127.0.0.1:9")
    with pytest.raises(SandboxError, match=r"RAVENDB_URL names http://127\.0\.0\.1:9"):
        connect_or_start()


def test_the_server_outlives_the_thread_that_started_it() -> None:
    raven = RavenServer("5.4.207")
    thread = threading.Thread(target=raven.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.5)
        assert raven.version == "5.4.207"
    finally:
        raven.stop()


def test_the_server_dies_with_its_parent() -> None:
    code = (
        "from demo.sandbox import RavenServer; import time\n"
        "raven = RavenServer('5.4.207').start(); print(raven.pid, raven.home, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid, home = parent.stdout.readline().split()
    assert _alive(int(pid))
    parent.kill()
    parent.wait()
    _wait_until(lambda: not _alive(int(pid)) and not Path(home).exists())


def test_the_command_runs_a_server_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "demo.sandbox", "start", "--version", "5.4.207"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        first = process.stdout.readline()
        log = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    assert first.startswith("RavenDB 5.4.207 at http://127.0.0.1:")
    assert not Path(log.removeprefix("Log: ").strip()).exists()


def test_over_tls_only_known_certificates_are_let_in(raven71_tls: RavenServer, database: MakeDatabase) -> None:
    own, foreign = database(raven71_tls, "own"), database(raven71_tls, "foreign")
    user = raven71_tls.client_certificate("user-of-own", permissions={own: "ReadWrite"})
    put_document(raven71_tls.endpoint_as(user), own, "a", {"x": 1})
    statistics(raven71_tls.endpoint_as(user), own)
    for certificate in (None, raven71_tls.stranger_certificate()):
        with pytest.raises(SandboxError, match="answered 403"):
            statistics(raven71_tls.endpoint_as(certificate), own)
    with pytest.raises(SandboxError, match="answered 403"):
        statistics(raven71_tls.endpoint_as(user), foreign)
    with pytest.raises(SandboxError, match="answered 403"):
        raven71_tls.endpoint_as(user).get_json("/admin/databases", params={"name": own})


def test_an_operator_may_read_every_record(raven71_tls: RavenServer, database: MakeDatabase) -> None:
    name = database(raven71_tls)
    operator = raven71_tls.client_certificate("an-operator", clearance="Operator")
    record = raven71_tls.endpoint_as(operator).get_json("/admin/databases", params={"name": name})
    assert record["DatabaseName"] == name


def test_an_http_server_has_no_certificates(raven71: RavenServer) -> None:
    with pytest.raises(SandboxError, match="tls=True"):
        _ = raven71.admin_certificate


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_until(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)

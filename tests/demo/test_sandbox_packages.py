"""What the sandbox downloads is checked, unpacked once, and patched only where it knows every byte."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from demo.sandbox import SandboxError, patch
from demo.sandbox.cache import cached
from demo.sandbox.certificates import make_certificate
from demo.sandbox.dotnet_root import ASPNETCORE, dotnet_root
from demo.sandbox.packages import SERVER_FOLDER_IN_WHEEL, install_server, npm_from_pip
from demo.sandbox.releases import RUNTIME, ServerRelease
from demo.sandbox.runtime import has_dotnet_8

REPOSITORY = Path(__file__).parents[2]


def make_wheel(folder: Path, *names: str) -> tuple[Path, ServerRelease]:
    wheel = folder / "ravendb_embedded-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return wheel, ServerRelease("0", "0", hashlib.sha256(wheel.read_bytes()).hexdigest())


def test_only_the_server_folder_of_the_wheel_is_unpacked_and_the_wheel_is_deleted(tmp_path: Path) -> None:
    names = SERVER_FOLDER_IN_WHEEL + "Raven.Server.dll", SERVER_FOLDER_IN_WHEEL + "pl/x.dll", "ravendb_embedded/a.py"
    wheel, release = make_wheel(tmp_path, *names)
    install_server(wheel, release, tmp_path / "server")
    assert sorted(os.listdir(tmp_path)) == ["server"]
    assert (tmp_path / "server" / "Raven.Server.dll").read_text() == names[0]
    assert sorted(os.listdir(tmp_path / "server")) == ["Raven.Server.dll", "pl"]


def test_a_wheel_with_another_hash_is_not_unpacked(tmp_path: Path) -> None:
    wheel, release = make_wheel(tmp_path, SERVER_FOLDER_IN_WHEEL + "Raven.Server.dll")
    with wheel.open("r+b") as changed:
        changed.seek(-1, os.SEEK_END)
        changed.write(b"!")
    with pytest.raises(SandboxError, match=f"expected {release.wheel_sha256}"):
        install_server(wheel, release, tmp_path / "server")
    assert not (tmp_path / "server").exists()


def test_a_wheel_whose_paths_lead_outside_is_refused(tmp_path: Path) -> None:
    wheel, release = make_wheel(tmp_path, SERVER_FOLDER_IN_WHEEL + "../evil")
    with pytest.raises(SandboxError, match="leads out of its folder"):
        install_server(wheel, release, tmp_path / "server")
    assert not (tmp_path / "evil").exists()


def test_a_wheel_without_a_server_is_refused(tmp_path: Path) -> None:
    wheel, release = make_wheel(tmp_path, "something/else")
    with pytest.raises(SandboxError, match="not a ravendb-embedded wheel"):
        install_server(wheel, release, tmp_path / "server")


def test_a_failed_build_leaves_no_cache_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAVEN_SANDBOX_CACHE", str(tmp_path))

    def build(folder: Path) -> None:
        (folder / "half").write_text("")
        raise SandboxError("broken")

    with pytest.raises(SandboxError, match="broken"):
        cached("thing", build)
    assert [name for name in os.listdir(tmp_path) if not name.endswith(".lock")] == []


def test_two_processes_build_a_cache_entry_once(tmp_path: Path) -> None:
    code = (
        "import os, time; from pathlib import Path; from demo.sandbox.cache import cached\n"
        "def build(folder):\n"
        "    open(os.environ['BUILDS'], 'a').write('x'); time.sleep(0.5); (folder / 'done').touch()\n"
        "assert (cached('thing', build) / 'done').exists()"
    )
    environment = {**os.environ, "RAVEN_SANDBOX_CACHE": str(tmp_path / "cache"), "BUILDS": str(tmp_path / "builds")}
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, env=environment, cwd=REPOSITORY) for _ in range(3)]
    assert [process.wait(90) for process in processes] == [0, 0, 0]
    assert (tmp_path / "builds").read_text() == "x"


def test_the_patch_changes_two_known_places_and_refuses_any_other_file(tmp_path: Path) -> None:
    patched = dotnet_root() / "shared" / ASPNETCORE / RUNTIME.dotnet_version / patch.FILE_NAME
    content = bytearray(patched.read_bytes())
    end = patch.OFFSET + 5
    assert content[patch.OFFSET : end] == patch.LOAD_FALSE
    content[patch.OFFSET : end] = patch.CALL_IS_SUPPORTED
    content[patch.PRECOMPILED_OFFSET : patch.PRECOMPILED_OFFSET + 4] = patch.PRECOMPILED
    copy = tmp_path / patch.FILE_NAME
    copy.write_bytes(content)
    assert hashlib.sha256(content).hexdigest() == patch.FILE_SHA256
    patch.patch_http_client_factory(copy)
    assert copy.read_bytes() == patched.read_bytes()

    for changed in (patched.read_bytes(), content[:-1], bytes(content[:-1]) + b"\xff"):
        copy.write_bytes(changed)
        with pytest.raises(SandboxError, match="left alone"):
            patch.patch_http_client_factory(copy)
        assert copy.read_bytes() == changed


def test_the_laid_out_dotnet_lists_both_frameworks() -> None:
    listing = subprocess.run(
        [sys.executable, str(dotnet_root() / "dotnet"), "--list-runtimes"], capture_output=True, text=True, check=True
    ).stdout
    assert "Microsoft.AspNetCore.App 9.0.7" in listing
    assert "Microsoft.NETCore.App 9.0.7" in listing
    assert not has_dotnet_8(listing)


@pytest.mark.parametrize(
    ("listing", "usable"),
    [
        ("Microsoft.AspNetCore.App 8.0.1 [/x]\nMicrosoft.NETCore.App 8.0.1 [/x]", True),
        ("Microsoft.NETCore.App 8.0.1 [/x]", False),
        ("Microsoft.AspNetCore.App 9.0.1 [/x]\nMicrosoft.NETCore.App 8.0.1 [/x]", False),
        ("Microsoft.AspNetCore.App 6.0.1 [/x]\nMicrosoft.NETCore.App 6.0.1 [/x]", False),
        ("", False),
    ],
)
def test_an_installed_dotnet_is_used_only_with_both_frameworks_of_version_8(listing: str, usable: bool) -> None:
    assert has_dotnet_8(listing) is usable


@pytest.mark.slow
def test_a_machine_without_npm_gets_it_through_pip() -> None:
    """Downloads 60 MB into the sandbox's cache the first time."""
    assert int(subprocess.run([*npm_from_pip(), "--version"], capture_output=True, text=True).stdout.split(".")[0]) > 8


def test_every_form_of_a_certificate_holds_the_same_certificate_and_key(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "someone")
    certificate = x509.load_pem_x509_certificate(made.certificate_pem.read_bytes())
    password = made.password.encode()
    keys = [
        serialization.load_pem_private_key(made.key_pem.read_bytes(), None),
        serialization.load_pem_private_key(made.pem.read_bytes(), None),
        serialization.load_pem_private_key(made.protected_pem.read_bytes(), password),
    ]
    for path, secret in ((made.pfx, None), (made.protected_pfx, password)):
        key, other, _ = pkcs12.load_key_and_certificates(path.read_bytes(), secret)
        assert key is not None
        assert other == certificate
        keys.append(key)
    assert {key.public_key() == certificate.public_key() for key in keys} == {True}
    with pytest.raises(TypeError, match="encrypted"):
        serialization.load_pem_private_key(made.protected_pem.read_bytes(), None)
    assert make_certificate(tmp_path, "someone") == made
    assert made.pem.stat().st_mode & 0o077 == 0

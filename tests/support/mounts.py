"""File systems that backups end up on, mounted for a test: each a context manager that gives the mounted folder.

A test that asks for one is skipped where it cannot be mounted: it takes root, /dev/fuse and the Debian package named.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.sandbox.debian import ensure_program
from demo.sandbox.errors import SandboxError

Mounted = Callable[[Path], "Iterator[Path]"]


@contextmanager
def exfat(work: Path) -> Iterator[Path]:
    """No rights, no hard links, no letter case. Debian: exfat-fuse, exfatprogs."""
    image, point = _image(work), _folder(work / "exfat")
    _need("mkfs.exfat", "mount.exfat-fuse", "losetup")
    _run("mkfs.exfat", image)
    device = _run("losetup", "-f", "--show", image).strip()
    try:
        with _mounted(point, "mount.exfat-fuse", device, point):
            yield point
    finally:
        _run("losetup", "-d", device)


@contextmanager
def ntfs(work: Path) -> Iterator[Path]:
    """Hard links, no rights. Debian: ntfs-3g."""
    image, point = _image(work), _folder(work / "ntfs")
    _need("mkfs.ntfs", "ntfs-3g")
    _run("mkfs.ntfs", "-F", "-q", image)
    with _mounted(point, "ntfs-3g", image, point):
        yield point


@contextmanager
def overlay(work: Path) -> Iterator[Path]:
    """What containers write on."""
    lower, upper, inner, point = (_folder(work / name) for name in ("lower", "upper", "inner", "overlay"))
    options = f"lowerdir={lower},upperdir={upper},workdir={inner}"
    with _mounted(point, "mount", "-t", "overlay", "overlay", "-o", options, point):
        yield point


@contextmanager
def read_only(work: Path) -> Iterator[Path]:
    """A folder seen through a read-only bind mount; ``<work>/inner`` is the writable one."""
    inner, point = _folder(work / "inner"), _folder(work / "read-only")
    with _mounted(point, "mount", "--bind", inner, point):
        _run("mount", "-o", "remount,bind,ro", point)
        yield point


@contextmanager
def sshfs(work: Path) -> Iterator[Path]:
    """A folder over SSH. Debian: sshfs, openssh-server."""
    _need("sshfs", "sshd", "ssh-keygen")
    served, point, keys, port = _folder(work / "served"), _folder(work / "sshfs"), _folder(work / "keys"), _free_port()
    for name in ("host", "user"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name)
    settings = {"Port": port, "ListenAddress": "127.0.0.1", "HostKey": keys / "host", "PidFile": keys / "pid"}
    settings |= {"AuthorizedKeysFile": keys / "user.pub", "PasswordAuthentication": "no", "UsePAM": "no"}
    settings |= {"StrictModes": "no", "Subsystem": "sftp internal-sftp"}
    (keys / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    Path("/run/sshd").mkdir(exist_ok=True)
    with _process("/usr/sbin/sshd", "-D", "-e", "-f", keys / "config"):
        _wait_for_port("127.0.0.1", port)
        options = f"IdentityFile={keys / 'user'},StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null"
        with _mounted(point, "sshfs", "-p", str(port), "-o", options, f"root@127.0.0.1:{served}", point):
            yield point


@contextmanager
def smb(work: Path) -> Iterator[Path]:
    """A Windows share of Samba's, through libsmbclient: no hard links, no removal of open files, no size, no letter case.
    Debian: samba, smbnetfs. On an address of its own, because that client knows no other port."""
    _need("smbd", "smbnetfs", "ip")
    address = f"127.44.{secrets.randbelow(250)}.{1 + secrets.randbelow(250)}"
    share, state = _folder(work / "share"), _folder(work / "samba")
    folders = "".join(
        f" {name} = {state}\n" for name in ("private dir", "lock directory", "state directory", "cache directory")
    )
    (state / "config").write_text(
        "[global]\n server role = standalone server\n netbios name = NAS\n map to guest = Bad User\n guest account = root\n"
        f" interfaces = {address}/32\n bind interfaces only = yes\n smb ports = 445\n pid directory = {state}\n{folders}"
        f" log file = {state}/log\n[share]\n path = {share}\n guest ok = yes\n read only = no\n force user = root\n"
    )
    home = _folder(work / "home/.smb")
    home.chmod(0o700)
    (home / "smb.conf").write_text("client min protocol = SMB2\n")
    (home / "smbnetfs.conf").write_text(f'auth "{address}" "guest" ""\n')
    (home / "smbnetfs.conf").chmod(0o600)
    _run("ip", "addr", "add", f"{address}/32", "dev", "lo")
    try:
        with _process("smbd", "--foreground", "--no-process-group", "-s", state / "config"):
            _wait_for_port(address, 445)
            point = _folder(work / "smb")
            with _mounted(point, "smbnetfs", point, "-o", f"config={home}/smbnetfs.conf", home=home.parent):
                yield point / address / "share"
    finally:
        _run("ip", "addr", "del", f"{address}/32", "dev", "lo")


@contextmanager
def misbehaving(work: Path) -> Iterator[Path]:
    """tests/support/network_folder.py; its control file is ``<work>/control``."""
    pytest.importorskip("mfusepy", reason="the fake of a network path needs mfusepy", exc_type=(ImportError, OSError))
    point, folder, control = _folder(work / "network"), _folder(work / "behind"), work / "control"
    control.write_text("{}")
    command = [sys.executable, "-m", "tests.support.network_folder", str(folder), str(point), str(control)]
    with _process(*command):
        deadline = time.monotonic() + 60
        while not os.path.ismount(point):
            if time.monotonic() > deadline:
                pytest.skip("FUSE cannot be used here")
            time.sleep(0.02)
        try:
            yield point
        finally:
            control.write_text("{}")
            _unmount(point)


@contextmanager
def _mounted(point: Path, *command: str | Path, home: Path | None = None) -> Iterator[None]:
    environment = {**os.environ, "HOME": str(home)} if home is not None else None
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    if done.returncode:
        pytest.skip(f"{command[0]} does not work here: {(done.stderr or done.stdout).strip()}")
    try:
        yield
    finally:
        _unmount(point)


def _unmount(point: Path) -> None:
    if subprocess.run(["umount", str(point)], capture_output=True).returncode:
        _run("umount", "-l", point)


@contextmanager
def _process(*command: str | Path) -> Iterator[None]:
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
        start_new_session=True,  # smbd ends its whole process group
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(90)


def _wait_for_port(address: str, port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        if time.monotonic() > deadline:
            pytest.skip(f"nothing answers at {address}:{port}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _image(work: Path) -> Path:
    image = work / "image"
    image.touch()
    os.truncate(image, 64 << 20)
    return image


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


#: Debian's package of each program.
_PACKAGES = {
    "ip": "iproute2",
    "losetup": "mount",
    "mkfs.exfat": "exfatprogs",
    "mkfs.ntfs": "ntfs-3g",
    "mount.exfat-fuse": "exfat-fuse",
    "ntfs-3g": "ntfs-3g",
    "smbd": "samba",
    "smbnetfs": "smbnetfs",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "sshfs": "sshfs",
}


def _need(*programs: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    for program in programs:
        try:
            ensure_program(program, package=_PACKAGES[program])
        except SandboxError as error:
            pytest.skip(str(error))


def _run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout

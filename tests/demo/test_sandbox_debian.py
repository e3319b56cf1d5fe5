"""Programs that Debian carries: used where they are installed, installed by root, unpacked for anybody else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demo.sandbox import SandboxError
from demo.sandbox.debian import ensure_program

ROOT = Path(__file__).parents[2]

AS_NOBODY = """
import os, sys
from demo.sandbox.debian import ensure_program  # first: the interpreter's own files may be root's alone
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(ensure_program(sys.argv[1], package=sys.argv[2]))
"""


def as_nobody(cache: Path, program: str, package: str) -> subprocess.CompletedProcess[str]:
    if os.geteuid() == 0:
        os.chown(cache, 65534, 65534)
        for folder in (cache, *cache.parents):
            if folder.stat().st_uid in (0, 65534) and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o755)
    code = (
        AS_NOBODY
        if os.geteuid() == 0
        else AS_NOBODY.replace("os.setgroups([]); os.setgid(65534); os.setuid(65534)", "")
    )
    return subprocess.run(
        [sys.executable, "-c", code, program, package],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "RAVEN_SANDBOX_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_a_program_that_is_installed_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAVEN_SANDBOX_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/nonexistent")
    found = ensure_program("sh", package="no-such-package")
    assert found.is_absolute()
    assert found.name == "sh"
    assert list(tmp_path.iterdir()) == []


def test_without_apt_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_options: None)
    with pytest.raises(SandboxError, match=r"no apt-get.*the-package"):
        ensure_program("no-such-program", package="the-package")


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="this machine has no apt-get")
def test_who_may_not_install_is_told_the_command_that_root_runs(tmp_path: Path) -> None:
    said = as_nobody(tmp_path, "no-such-program", "no-such-package").stderr
    assert "Run as root: apt-get update && apt-get install -y --no-install-recommends no-such-package" in said


@pytest.mark.skipif(shutil.which("apt-cache") is None, reason="this machine has no apt-cache")
def test_who_may_not_install_gets_the_program_unpacked_and_it_runs(tmp_path: Path) -> None:
    if subprocess.run(["apt-cache", "show", "units"], capture_output=True).returncode != 0:
        pytest.skip("apt has no package lists here, and fetching them needs root")
    if shutil.which("units"):
        pytest.skip("the example program is installed here")
    done = as_nobody(tmp_path, "units", "units")
    assert done.returncode == 0, done.stderr
    program = Path(done.stdout.strip())
    assert program.is_relative_to(tmp_path)
    assert "GNU Units" in subprocess.run([str(program), "--version"], capture_output=True, text=True).stdout

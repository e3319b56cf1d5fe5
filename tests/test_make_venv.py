"""`make` on a machine whose Python does not fit says what was found and what to install, and leaves nothing behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "make_venv.sh"
BASH = shutil.which("bash") or "/bin/bash"
# A real interpreter that lacks what Debian splits off: asking for the modules fails as it does there.
NO_ENSUREPIP = f'#!{BASH}\ncase "$2" in *ensurepip*|*virtualenv*) exit 1;; esac\nexec {sys.executable} "$@"\n'
BROKEN_SHIM = f"#!{BASH}\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n"
TOO_OLD = f'#!{BASH}\ncase "$2" in *version_info*) exit 1;; esac\nexit 0\n'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that is the whole PATH of a machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def install(machine: Path, name: str, script: str) -> Path:
    path = machine / name
    path.write_text(script)
    path.chmod(0o755)
    return path


def make_venv(machine: Path, *arguments: str) -> str:
    """Run the script where it must fail; return what it says."""
    venv = machine.parent / "venv"
    command = [BASH, str(SCRIPT), str(venv), *arguments]
    done = subprocess.run(command, env={"PATH": str(machine)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert not venv.exists()
    return done.stderr


def test_without_any_python_it_names_the_versions_that_fit(machine: Path) -> None:
    assert "No Python 3.10-3.13 was found" in make_venv(machine)


def test_shims_that_fail_and_versions_that_are_too_old_are_passed_over(machine: Path) -> None:
    install(machine, "python3.12", BROKEN_SHIM)
    install(machine, "python3", TOO_OLD)
    assert "No Python 3.10-3.13 was found" in make_venv(machine)


def test_a_python_without_venv_gets_the_name_of_the_package_to_install(machine: Path) -> None:
    install(machine, "python3.12", BROKEN_SHIM)
    install(machine, "python3", NO_ENSUREPIP)
    said = make_venv(machine)
    assert said.startswith("python3 (Python 3.")
    assert f"python3.{sys.version_info.minor}-venv" in said


def test_a_chosen_python_is_never_replaced_by_another(machine: Path) -> None:
    install(machine, "python3", NO_ENSUREPIP)
    chosen = install(machine, "mine", TOO_OLD)
    assert f"PYTHON={chosen} does not run or is not Python 3.10-3.13" in make_venv(machine, str(chosen))

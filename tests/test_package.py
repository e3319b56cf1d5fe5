"""What a user installs: the wheel holds the package alone, and announces what Airflow and the shell look for."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel, built without a network."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed into a folder of its own."""
    (wheel,) = built.glob("*.whl")
    target = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def distribution(installed: Path) -> Distribution:
    (info,) = installed.glob("*.dist-info")
    return PathDistribution(info)


def test_the_wheel_holds_only_the_package_and_it_is_typed(installed: Path) -> None:
    tops = {p.name for p in installed.iterdir() if not p.name.endswith(".dist-info")} - {"bin"}
    assert tops == {"raven_backup_provider"}
    assert (installed / "raven_backup_provider" / "py.typed").is_file()


def test_every_module_of_the_checkout_is_in_the_wheel(installed: Path) -> None:
    def modules(root: Path) -> set[Path]:
        return {p.relative_to(root) for p in (root / "raven_backup_provider").rglob("*.py")}

    assert modules(installed) == modules(ROOT)


def test_airflow_finds_the_provider_and_the_shell_the_command(distribution: Distribution) -> None:
    points = {(p.group, p.name): p.value for p in distribution.entry_points}
    assert (
        points["apache_airflow_provider", "provider_info"]
        == "raven_backup_provider.get_provider_info:get_provider_info"
    )
    assert points["console_scripts", "raven-backup"] == "raven_backup_provider.cli:main"


def test_every_entry_point_can_be_loaded_from_the_installed_wheel(installed: Path, distribution: Distribution) -> None:
    values = [p.value for p in distribution.entry_points]
    assert values
    code = (
        "import sys, importlib.metadata as m\n"
        f"sys.path.insert(0, {str(installed)!r})\n"
        f"for value in {values!r}:\n"
        "    loaded = m.EntryPoint('x', value, 'x').load()\n"
        f"    assert sys.modules[loaded.__module__].__file__.startswith({str(installed)!r}), loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=installed, check=False)
    assert done.returncode == 0, done.stderr


def test_the_metadata_names_the_licence_the_pythons_and_an_optional_extra_for_each_store(
    distribution: Distribution,
) -> None:
    metadata = distribution.metadata
    assert metadata["Name"] == "raven-backup-provider"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == "<3.14,>=3.10"
    assert {"amazon", "azure", "sftp", "ftp"} <= set(metadata.get_all("Provides-Extra") or [])


def test_the_source_distribution_holds_only_the_package_and_its_papers(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    assert tops <= {"raven_backup_provider", "pyproject.toml", "README.md", "LICENSE", "PKG-INFO", ".gitignore"}
    assert "raven_backup_provider" in tops

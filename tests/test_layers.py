"""The layers of the design hold: imports point down only, Airflow stays in the layers that are its own.

Every import is read from the syntax tree, those in functions and TYPE_CHECKING blocks too: a type that points up is a
design that does.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "raven_backup_provider"
ROOT = Path(__file__).resolve().parent.parent

# Part of the package -> the parts it may import. A part is a folder or a module directly under the package.
_GLUE = {"core", "raven", "destinations", "jobs", "hooks"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "get_provider_info": set(),
    "core": set(),
    "raven": {"core"},
    "destinations": {"core"},
    "jobs": {"core", "raven", "destinations"},
    "hooks": {"core", "raven", "destinations"},
    "links": _GLUE,
    "notifications": _GLUE,
    "triggers": _GLUE | {"links"},
    "operators": _GLUE | {"triggers", "links", "notifications"},
    "sensors": _GLUE | {"triggers", "operators", "links"},
    "cli": _GLUE | {"server_wide"},
    "server_wide": _GLUE | {"triggers", "operators", "notifications", "links"},
    "plugin": _GLUE | {"triggers", "operators", "notifications", "links", "server_wide"},
}
AIRFLOW_PARTS = {"hooks", "operators", "sensors", "triggers", "notifications", "links", "server_wide", "plugin"}
# What may be imported from outside by the parts that have a short list; standard library and __future__ always may.
OUTSIDE: dict[str, set[str]] = {
    "__init__": set(),
    "get_provider_info": set(),
    "core": {"zstandard", "nacl", "cryptography", "pydantic", "pydantic_core", "typing_extensions"},
    "raven": {"urllib3", "cryptography", "pydantic", "typing_extensions"},
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported dotted name and where it stands."""

    path: Path
    line: int
    module: str


def imports_of(path: Path, package_root: Path) -> Iterator[Import]:
    """Yield what a file imports, relative imports resolved and ``from x import y`` as ``x.y``."""
    here = [package_root.name, *path.relative_to(package_root).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (Import(path, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                [*here[: -node.level], *([node.module] if node.module else [])] if node.level else [node.module or ""]
            )
            yield from (Import(path, node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def part_of(path: Path, package_root: Path) -> str:
    return path.relative_to(package_root).with_suffix("").parts[0]


def violations(package_root: Path) -> list[str]:
    """Return one sentence for each import that breaks a rule; the package folder must be named like the package."""
    found = []
    files = sorted(package_root.rglob("*.py"))
    assert files, f"no modules under {package_root}: nothing was checked"
    for path in files:
        part = part_of(path, package_root)
        for imported in imports_of(path, package_root):
            problem = _problem(part, imported.module)
            if problem:
                found.append(f"{path.relative_to(package_root)}:{imported.line}: {problem}")
    return found


def _problem(part: str, module: str) -> str | None:
    if part not in MAY_IMPORT:
        return f"{part} has no layer; give it one in tests/test_layers.py"
    top, *rest = module.split(".")
    if top == PACKAGE:
        target = rest[0] if rest else "__init__"
        if target in (part, "__version__", "__init__") or target in MAY_IMPORT[part]:
            return None
        return f"{part} must not import {target} ({module})"
    if top in sys.stdlib_module_names or top == "__future__":
        return None
    if top == "airflow":
        return None if part in AIRFLOW_PARTS else f"{part} must not import Airflow ({module})"
    if part in OUTSIDE and top not in OUTSIDE[part]:
        return f"{part} must not import {top}"
    return None


def test_every_import_of_the_package_points_down() -> None:
    assert violations(ROOT / PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("core/model.py", "import requests", "core must not import requests"),
        ("core/model.py", f"from {PACKAGE}.raven import transport", "core must not import raven"),
        ("core/model.py", "from ..raven import transport", "core must not import raven"),
        ("core/model.py", "def f():\n    import airflow.sdk", "core must not import Airflow"),
        (
            "raven/exports.py",
            f"from {PACKAGE}.destinations.folder import FolderDestination",
            "raven must not import destinations",
        ),
        ("destinations/folder.py", f"import {PACKAGE}.raven.transport", "destinations must not import raven"),
        (
            "destinations/s3.py",
            "from airflow.providers.amazon.aws.hooks.s3 import S3Hook",
            "destinations must not import Airflow",
        ),
        ("jobs/take_backup.py", f"from {PACKAGE} import hooks", "jobs must not import hooks"),
        ("jobs/take_backup.py", "if TYPE_CHECKING:\n    from airflow.sdk import DAG", "jobs must not import Airflow"),
        ("hooks/ravendb.py", f"from {PACKAGE}.jobs.verify import verify", "hooks must not import jobs"),
        ("hooks/ravendb.py", f"from {PACKAGE}.operators import backup", "hooks must not import operators"),
        ("cli.py", "from airflow.sdk import Connection", "cli must not import Airflow"),
        ("cli.py", f"from {PACKAGE}.operators import backup", "cli must not import operators"),
        ("get_provider_info.py", "import yaml", "get_provider_info must not import yaml"),
        ("__init__.py", "import airflow", "__init__ must not import Airflow"),
        ("helpers/text.py", "import os", "helpers has no layer"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    planted = tmp_path / PACKAGE / file
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(line + "\n")

    found = violations(tmp_path / PACKAGE)

    assert len(found) == 1
    assert found[0].startswith(f"{file}:")
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (
            "core/model.py",
            "import nacl.bindings, zstandard\nfrom . import errors\nfrom .errors import RavenBackupError",
        ),
        ("jobs/take_backup.py", f"from {PACKAGE}.raven.transport import Transport\nfrom {PACKAGE} import __version__"),
        ("operators/backup.py", f"from airflow.sdk import BaseOperator\nfrom {PACKAGE}.jobs import take_backup"),
        ("cli.py", f"from {PACKAGE} import hooks\nfrom {PACKAGE}.jobs import take_backup"),
    ],
)
def test_an_import_that_points_down_is_no_violation(tmp_path: Path, file: str, line: str) -> None:
    planted = tmp_path / PACKAGE / file
    planted.parent.mkdir(parents=True)
    planted.write_text(line + "\n")

    assert violations(tmp_path / PACKAGE) == []


@pytest.mark.parametrize("module", [PACKAGE, f"{PACKAGE}.get_provider_info", f"{PACKAGE}.core"])
def test_importing_what_airflow_reads_while_it_starts_brings_in_no_airflow(module: str) -> None:
    code = f"import sys, {module}; print(sorted(m for m in sys.modules if m.split('.')[0] in ('airflow', 'urllib3')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"

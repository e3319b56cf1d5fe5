"""A healing killed with SIGKILL anywhere leaves what the next audit finishes, and the good copy as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest
from tests.support.killed_heal import kill_heal_at
from tests.support.made_chain import MadeChain, contents, make_chain

SIGKILLED = -9


@pytest.fixture
def chain(tmp_path: Path) -> MadeChain:
    """Whole at ``good``; at ``bad`` the full is damaged and the last file lost."""
    made = make_chain(3)
    good, bad = (FolderDestination(tmp_path / name, create=True) for name in ("good", "bad"))
    made.put(good)
    made.put(bad)
    path = Path(bad.local_path(made.key_of(0)))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    bad.delete([manifest_name(made.key_of(2)), made.key_of(2)])
    return made


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("exclusive", 1),
        ("delete", 1),
        ("delete", 2),
        ("open_write", 1),
        ("write", 1),
        ("commit", 1),
        ("put", 1),
        ("open_write", 2),
        ("commit", 2),
        ("put", 2),
        ("sweep_partial", 1),
    ],
)
def test_the_next_audit_finishes(chain: MadeChain, tmp_path: Path, method: str, call: int) -> None:
    good, bad = FolderDestination(tmp_path / "good"), FolderDestination(tmp_path / "bad")
    whole = contents(good)

    assert kill_heal_at(tmp_path / "good", tmp_path / "bad", method, call) == SIGKILLED

    assert contents(good) == whole
    report = audit([good, bad], AuditRequest("shop", heal=True, deep=True))
    assert report.ok
    assert contents(bad) == whole

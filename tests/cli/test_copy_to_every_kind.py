"""Each kind of destination gets a copy by the command, loses a part of it, and has it again after an audit. No RavenDB.

The chain is made by hand. Copies of real backups, and what a restore makes of them: tests/integration/test_one_destination_down.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from tests.cli.conftest import RavenBackup
from tests.support.made_chain import contents, make_chain
from tests.support.stores import ARCHIVES, KINDS, Stores

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    with Stores() as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_it_gets_a_copy_and_an_audit_refills_what_it_lost(
    stores: Stores, kind: str, raven_backup: RavenBackup, tmp_path: Path
) -> None:
    chain, root = make_chain(3), tmp_path / "primary"
    chain.put(FolderDestination(root, create=True))
    source, copy = f"file://{root}", stores.new(kind)
    target = Stores.open(copy)
    copied = raven_backup("copy", "--database", "shop", "--source", source, "--destination", copy)
    assert copied.code == 0, copied.err
    original = {key: len(content) for key, content in contents(FolderDestination(root)).items()}
    assert sizes(target) == original

    lost = chain.key_of(2)
    target.delete([manifest_name(lost), lost])
    audit = ["audit", "--database", "shop", "--destination", source, "--destination", copy]
    told = raven_backup(*audit)
    assert (told.code, "missing" in told.out, lost.rpartition("/")[2] in told.out) == (1, True, True)
    healed = raven_backup(*audit, "--heal", "--json")
    assert (healed.code, healed.document["ok"], healed.document["healed"]) == (0, True, 1), healed.err
    assert sizes(Stores.open(copy)) == original
    more = ["--retrieve"] if kind in ARCHIVES else []
    verified = stores.until_retrieved(raven_backup, "verify", "--database", "shop", "--destination", copy, *more)
    assert verified.code == 0, verified.out + verified.err


def sizes(destination: Destination) -> dict[str, int]:
    """Every file with its size, but for the marks that verifications leave."""
    return {file.key: file.size for file in destination.list_files("") if not file.key.endswith(".verified.json")}

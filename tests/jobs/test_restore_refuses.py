"""A restore refuses before it starts, and says which file is wrong and how; and nothing is ever restored over a database."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    BrokenChainError,
    CorruptBackupError,
    EncryptionKeyError,
    ManifestError,
    RavenBackupError,
    RestorePointNotFoundError,
    RestoreRefusedError,
)
from raven_backup_provider.core.model import RequestedKind
from raven_backup_provider.jobs.restore import run_restore
from raven_backup_provider.jobs.restore_plan import RestoreMode, RestoreOptions, RestorePlan, plan_restore
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import Backups, put_some
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.timeout(120)

MODES = [RestoreMode.SERVER, RestoreMode.STREAM]
Copy = Callable[[Backups], Backups]


def plan(
    backups: Backups, *, target: str = "never", mode: RestoreMode = RestoreMode.STREAM, **more: object
) -> RestorePlan:
    """Plan a restore of the newest point; no server takes part."""
    return plan_restore(
        backups.destination,
        backups.database,
        target=target,
        mode=mode,
        **{"key": backups.key, **more},  # type: ignore[arg-type]
    )


def files(backups: Backups) -> list[Path]:
    """The backup files of the only chain, in order."""
    return sorted(p for p in backups.root.rglob("*.ravendb-*") if p.is_file() and not p.name.endswith(".json"))


def flip_bit(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


# --- damaged files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_flipped_bit_in_any_file_is_named(
    plain_chain: Backups, copy_of: Copy, number: int, mode: RestoreMode
) -> None:
    broken = copy_of(plain_chain)
    victim = files(broken)[number]
    flip_bit(victim, victim.stat().st_size // 2)
    with pytest.raises(CorruptBackupError, match="SHA-256") as told:
        plan(broken, mode=mode)
    assert victim.name in str(told.value)
    assert all(other.name not in str(told.value) for other in files(broken) if other != victim)


def test_a_file_behind_the_chosen_point_does_not_matter(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    flip_bit(files(broken)[2], 10)
    assert len(plan(broken, point=files(broken)[1].name).files) == 2


def test_one_cut_byte_is_named(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    victim = files(broken)[2]
    os.truncate(victim, victim.stat().st_size - 1)
    with pytest.raises(BrokenChainError, match=f"{victim.name} has .* bytes, its manifest says"):
        plan(broken)


def test_a_cut_on_the_border_of_an_encrypted_block_is_named(sealed_chain: Backups, copy_of: Copy) -> None:
    """The encryption itself has no end mark; and even a manifest that was made to fit the cut file does not help."""
    broken = copy_of(sealed_chain)
    victim = files(broken)[0]
    assert victim.stat().st_size > 24 + 4113
    os.truncate(victim, 24 + 4113)
    with pytest.raises(BrokenChainError, match=victim.name):
        plan(broken, point=victim.name)
    forge(victim)
    with pytest.raises(CorruptBackupError, match=victim.name):
        plan(broken, point=victim.name, deep=True)


def forge(path: Path) -> None:
    """Make the manifest fit the file as it is now."""
    import hashlib

    manifest = path.with_name(path.name + ".manifest.json")
    content = json.loads(manifest.read_text())
    content["file"] |= {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(content))


def test_an_older_file_swapped_in_is_named(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    _, older, newer = files(broken)
    shutil.copy(older, newer)
    with pytest.raises(CorruptBackupError, match=newer.name):
        plan(broken)


def test_an_older_file_swapped_in_with_a_manifest_to_fit_breaks_the_hash_chain(
    plain_chain: Backups, copy_of: Copy
) -> None:
    broken = copy_of(plain_chain)
    full, middle, _ = files(broken)
    shutil.copy(full, middle)
    forge(middle)
    with pytest.raises(BrokenChainError, match="exchanged"):
        plan(broken)


@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_missing_middle_file_is_told(plain_chain: Backups, copy_of: Copy, with_manifest: bool) -> None:
    broken = copy_of(plain_chain)
    middle = files(broken)[1]
    middle.unlink()
    if with_manifest:
        middle.with_name(middle.name + ".manifest.json").unlink()
    with pytest.raises(BrokenChainError, match="missing") as told:
        plan(broken)
    assert middle.name in str(told.value)


def test_the_full_is_still_restorable_when_the_middle_file_is_missing(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    full, middle, _ = files(broken)
    middle.unlink()
    assert [f.name for f in plan(broken, point=full.name).files] == [full.name]


def test_a_manifest_that_cannot_be_read_is_never_fine(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    manifest = files(broken)[1].with_name(files(broken)[1].name + ".manifest.json")
    manifest.write_text(manifest.read_text()[:-20])
    with pytest.raises(BrokenChainError, match=r"not readable as JSON"):
        plan(broken)


def test_a_manifest_not_signed_with_the_key_is_refused(plain_chain: Backups) -> None:
    with pytest.raises((BrokenChainError, RestorePointNotFoundError, ManifestError), match="not signed"):
        plan(plain_chain, signing_key=b"s" * 32)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_reaches_the_server_when_a_file_is_bad(
    plain_chain: Backups, copy_of: Copy, transport71: Transport, mode: RestoreMode
) -> None:
    broken = copy_of(plain_chain)
    flip_bit(files(broken)[0], 30)
    before = data.database_names(broken.server)
    with pytest.raises(CorruptBackupError):
        plan_restore(broken.destination, broken.database, transport71, target="never", mode=mode)
    assert data.database_names(broken.server) == before


def test_a_file_exchanged_after_the_check_is_not_imported(
    plain_chain: Backups, copy_of: Copy, transport71: Transport, database: MakeDatabase
) -> None:
    """And the database that was begun is gone again."""
    broken = copy_of(plain_chain)
    target = database(broken.server, create=False)
    good = plan(broken, target=target)
    flip_bit(files(broken)[1], 40)
    with pytest.raises(RavenBackupError) as told:
        run_restore(good, transport71, broken.destination)
    assert files(broken)[1].name in str(told.value) or isinstance(told.value, CorruptBackupError)
    assert target not in data.database_names(broken.server)


# --- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_missing_key_is_told_with_the_id_of_the_key_needed(sealed_chain: Backups, mode: RestoreMode) -> None:
    assert sealed_chain.key is not None
    with pytest.raises(EncryptionKeyError, match=sealed_chain.key.key_id):
        plan(sealed_chain, mode=mode, key=None)


@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_key_is_told_with_both_ids(sealed_chain: Backups, mode: RestoreMode) -> None:
    assert sealed_chain.key is not None
    other = EncryptionKey.generate()
    with pytest.raises(EncryptionKeyError, match=sealed_chain.key.key_id) as told:
        plan(sealed_chain, mode=mode, key=other)
    assert other.key_id in str(told.value)
    assert other.base64() not in str(told.value)


def test_a_plan_holds_no_key(sealed_chain: Backups) -> None:
    assert sealed_chain.key is not None
    made = plan(sealed_chain, mode=RestoreMode.SERVER)
    assert sealed_chain.key.base64() not in json.dumps(made.to_json())
    assert RestorePlan.from_json(json.loads(json.dumps(made.to_json()))) == made


# --- the target ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("disguise", [str, str.upper, str.title])
@pytest.mark.parametrize("disabled", [False, True])
def test_an_existing_database_survives_a_restore_to_its_name(
    plain_chain: Backups,
    transport71: Transport,
    database: MakeDatabase,
    mode: RestoreMode,
    disguise: Callable[[str], str],
    disabled: bool,
) -> None:
    server = plain_chain.server
    existing = database(server, "precious")
    put_some(server, existing, 5)
    data.set_disabled(server, existing, disabled)
    with pytest.raises(RestoreRefusedError, match="exists"):
        plan_restore(plain_chain.destination, plain_chain.database, transport71, target=disguise(existing), mode=mode)
    blind = plan(plain_chain, target=disguise(existing), mode=mode)
    with pytest.raises(RestoreRefusedError, match="exists"):
        run_restore(blind, transport71, plain_chain.destination)
    data.set_disabled(server, existing, False)
    assert data.statistics(server, existing)["CountOfDocuments"] == 5


# --- what the server sees -------------------------------------------------------------------------------------------


def test_a_server_that_sees_another_folder_is_told_apart(
    plain_chain: Backups, transport71: Transport, tmp_path: Path, database: MakeDatabase
) -> None:
    from raven_backup_provider.destinations.folder import FolderDestination

    wrong = FolderDestination(plain_chain.root, server_path=str(tmp_path))
    target = database(plain_chain.server, create=False)
    made = plan_restore(wrong, plain_chain.database, target=target, mode="server")
    with pytest.raises(RestoreRefusedError, match="server_path"):
        run_restore(made, transport71, wrong)
    assert target not in data.database_names(plain_chain.server)


def test_a_server_that_sees_an_older_copy_without_the_chosen_file_is_told_apart(
    plain_chain: Backups, copy_of: Copy, transport71: Transport, database: MakeDatabase
) -> None:
    """RavenDB ignores an unknown last file name and restores everything; so it must list that very file."""
    from raven_backup_provider.destinations.folder import FolderDestination

    older = copy_of(plain_chain)
    files(older)[2].unlink()
    wrong = FolderDestination(plain_chain.root, server_path=str(older.root))
    target = database(plain_chain.server, create=False)
    made = plan_restore(wrong, plain_chain.database, target=target, mode="server")
    with pytest.raises(RestoreRefusedError, match="does not list"):
        run_restore(made, transport71, wrong)
    assert target not in data.database_names(plain_chain.server)


def test_a_stranger_in_the_folder_is_refused_by_server_mode_and_left_out_by_stream_mode(
    plain_chain: Backups, copy_of: Copy
) -> None:
    """RavenDB would replay it in the middle of the chain."""
    mixed = copy_of(plain_chain)
    last = files(mixed)[2]
    stranger = last.with_name("2000-01-01-00-00-00.ravendb-incremental-backup")
    shutil.copy(last, stranger)
    with pytest.raises(RestoreRefusedError, match=stranger.name):
        plan(mixed, mode=RestoreMode.SERVER, point=last.name)
    assert stranger.name not in [f.name for f in plan(mixed, point=last.name).files]


# --- files without manifests ----------------------------------------------------------------------------------------


def test_files_without_manifests_are_refused_unless_allowed(plain_chain: Backups, copy_of: Copy) -> None:
    bare = copy_of(plain_chain)
    for manifest in bare.root.rglob("*.manifest.json"):
        manifest.unlink()
    with pytest.raises(RestorePointNotFoundError, match="allow_unproven"):
        plan(bare)
    made = plan(bare, options=RestoreOptions(allow_unproven=True))
    assert [f.name for f in made.files] == [f.name for f in files(bare)]


def test_an_unproven_folder_without_a_full_is_refused(plain_chain: Backups, copy_of: Copy) -> None:
    bare = copy_of(plain_chain)
    for manifest in bare.root.rglob("*.manifest.json"):
        manifest.unlink()
    files(bare)[0].unlink()
    with pytest.raises(RestoreRefusedError, match="not a full backup"):
        plan(bare, options=RestoreOptions(allow_unproven=True))


def test_an_unproven_file_cut_by_one_byte_is_refused(plain_chain: Backups, copy_of: Copy) -> None:
    bare = copy_of(plain_chain)
    for manifest in bare.root.rglob("*.manifest.json"):
        manifest.unlink()
    victim = files(bare)[2]
    os.truncate(victim, victim.stat().st_size - 1)
    with pytest.raises(CorruptBackupError, match=victim.name):
        plan(bare, options=RestoreOptions(allow_unproven=True))


def test_a_restore_of_a_full_taken_alone_plans_one_file(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    backups = Backups(raven71, database(raven71), tmp_path)
    put_some(raven71, backups.database)
    backups.take(RequestedKind.FULL)
    backups.take(RequestedKind.FULL)
    assert len(plan(backups).files) == 1

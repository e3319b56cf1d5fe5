"""What stands in the description of an archive."""

from __future__ import annotations

import json
import secrets

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.manifest import FileEntry, PreviousEntry, dump
from raven_backup_provider.core.names import database_folder, file_name, folder_name, manifest_name
from raven_backup_provider.destinations.glacier_note import MAX_LENGTH, ArchiveNote, read_note, write_note
from tests.core.builders import T0, manifest
from tests.destinations.contract import DATABASES

SHA = "ab" * 32


def key_of(database: str) -> str:
    first = manifest()
    folder = folder_name(T0, database, "A", first.type)
    name = manifest_name(file_name(T0, first.kind, first.type, True))
    return f"{database_folder(database)}/{folder}/{name}"


@pytest.mark.parametrize("database", DATABASES)
def test_it_reads_back_for_every_database_name_and_is_printable(database: str) -> None:
    note = ArchiveNote(f"backups/{key_of(database)}", 5 * 2**40, SHA)
    text = write_note(note)
    assert len(text) <= MAX_LENGTH
    assert all(" " <= char <= "~" for char in text)
    assert read_note(text) == note


def test_it_is_plain_json_that_a_human_can_read() -> None:
    text = write_note(ArchiveNote("shop/x", 3, SHA))
    assert json.loads(text) == {"raven_backup": 1, "key": "shop/x", "size": 3, "sha256": SHA}
    assert read_note(write_note(ArchiveNote("shop/x"))) == ArchiveNote("shop/x")


def test_an_ordinary_manifest_fits_with_its_whole_text() -> None:
    one = manifest(
        1,
        run_token=f"scheduled__2026-03-01T12:00:00+00:00/backup/{secrets.token_hex(16)}",
        file=FileEntry(name=manifest(1).file.name, size=123_456_789, sha256=secrets.token_hex(32)),
        previous=PreviousEntry(name=manifest(0).file.name, sha256=secrets.token_hex(32)),
        counts=dict.fromkeys(("Documents", "Attachments", "Counters", "TimeSeries", "Revisions", "Tombstones"), 12345),
        collections=dict.fromkeys(("Orders", "Companies", "Employees", "Products", "@hilo", "@empty"), 12345),
    )
    text = dump(one)
    note = read_note(write_note(ArchiveNote(key_of("shop"), len(text), SHA, text)))
    assert note is not None
    assert note.text == text
    assert note.size == len(text)


def test_a_text_that_does_not_fit_is_left_out() -> None:
    text = secrets.token_bytes(2000)
    note = read_note(write_note(ArchiveNote(key_of("shop"), 2000, SHA, text)))
    assert note == ArchiveNote(key_of("shop"), 2000, SHA)


def test_a_text_written_by_an_earlier_release_stays_readable() -> None:
    """The dictionary is part of the format; whoever changes it makes what lies in vaults unreadable."""
    packed = (
        "t<_5kgD?;V;Jb7mm_KC@dI>jPK&yKxEeKxT32r8uCrx(AD$L{i_i&W-pZWBbtK%b*5873(_U^kqvbeb&o_*n@5NoA!T*_RDXiwKF"
        "SOZVAyfpORfhQH@A*z-8;Q;%BOcJNG%IFkisJl3nU?)*LKMoY#jjKj&D1%Xhs2H<EVY3)_u|OzCYg*ppPqygBkz5SIg6O_q1c_sD"
        "00"
    )
    note = read_note(json.dumps({"raven_backup": 1, "key": "shop/f.manifest.json", "text": packed}))
    assert note is not None
    assert note.text == dump(manifest(1)).replace(b' "counters": null,\n', b""), "which that release did not know"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "my holiday photos",
        "[1]",
        '{"raven_backup":2,"key":"x"}',
        '{"raven_backup":1}',
        '{"raven_backup":1,"key64":"***"}',
        '{"raven_backup":1,"key":"x","text":"no base85 of ours"}',
        '{"raven_backup":1,"key":"x","size":"3"}',
        "[" * 1000,
    ],
)
def test_what_is_not_ours_is_not_taken_for_ours(text: str | None) -> None:
    assert read_note(text) is None


def test_a_key_that_cannot_fit_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="shorter prefix"):
        write_note(ArchiveNote("ü" * 400, 1, SHA))

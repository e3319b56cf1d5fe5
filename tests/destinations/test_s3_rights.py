"""What an S3 destination can do with few rights, enforced by moto: RavenDB's documented minimal policy is enough to back up."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from raven_backup_provider.core.errors import LockedError, MissingRightError
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_settings import S3Settings
from raven_backup_provider.jobs.prune_report import Outcome
from tests.destinations.contract import FILE, FOLDER, keys, load, store
from tests.destinations.retention_contract import NEW, plant_at, prune_at
from tests.support.s3_servers import MotoServer, moto_server

MIB = 1 << 20
MINIMAL = ("s3:PutObject", "s3:ListBucket", "s3:GetBucketAcl", "s3:GetBucketLocation")
LARGE = os.urandom(2 * MIB + 5)


class Rights:
    """A server that enforces rights, with users made before."""

    def __init__(self, server: MotoServer) -> None:
        self.server = server
        self.bucket = server.new_bucket()
        self._users = {
            "admin": server.user("admin", "s3:*"),
            "minimal": server.user("minimal", *MINIMAL),
            "reader": server.user("reader", *MINIMAL, "s3:GetObject"),
            "pruner": server.user("pruner", *MINIMAL, "s3:GetObject", "s3:DeleteObject"),
            "no list": server.user("nolist", "s3:PutObject", "s3:GetObject"),
            "no write": server.user("nowrite", "s3:ListBucket", "s3:GetObject"),
        }
        server.enforce()

    def open(self, user: str, prefix: str, **settings: int) -> S3Destination:
        key, secret = self._users[user]
        client = self.server.client(key=key, secret=secret)
        return S3Destination(client, self.bucket, prefix, settings=S3Settings(part_mb=1, retry_seconds=2, **settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def rights() -> Iterator[Rights]:
    with moto_server() as server:
        yield Rights(server)


def test_the_minimal_policy_is_enough_to_check_lock_list_and_write(rights: Rights) -> None:
    destination = rights.open("minimal", "enough")
    for _ in range(2):
        destination.check_writable()
        with destination.exclusive("shop"):
            assert destination.sweep_partial("shop") == []
    with destination.exclusive("shop"):
        store(destination, FILE, b"small")
        store(destination, f"{FOLDER}/large", LARGE)
        destination.put(f"{FILE}.manifest.json", b"{}")
        assert destination.list_folders() == ["shop"]
        found = destination.stat(FILE)
        assert found is not None
        assert found.size == 5
        with pytest.raises(LockedError, match="process"), rights.open("minimal", "enough").exclusive("shop"):
            pass
    assert destination.stat(f"{FOLDER}/none") is None
    assert load(rights.open("admin", "enough"), f"{FOLDER}/large") == LARGE
    assert len(keys(destination)) == 3


def test_reading_and_deleting_fail_with_the_name_of_the_missing_right(rights: Rights) -> None:
    store(rights.open("admin", "more"), FILE)
    minimal, reader = rights.open("minimal", "more"), rights.open("reader", "more")
    with pytest.raises(MissingRightError, match=r"AccessDenied.*lack the right s3:GetObject") as missing:
        minimal.open_read(FILE)
    assert missing.value.right == "s3:GetObject"
    assert not missing.value.retryable
    assert load(reader, FILE) == b"content"
    with pytest.raises(MissingRightError, match="s3:DeleteObject"):
        reader.delete([FILE])
    assert keys(reader) == [FILE]


def test_a_writer_that_fails_says_which_right_removing_its_parts_would_need(
    rights: Rights, caplog: pytest.LogCaptureFixture
) -> None:
    destination = rights.open("minimal", "leftover")
    with destination.open_write(FILE) as writer:
        writer.write(LARGE)
    assert "s3:AbortMultipartUpload" in caplog.text
    assert "AbortIncompleteMultipartUpload" in caplog.text
    assert destination.sweep_partial("shop") == []
    assert "s3:ListBucketMultipartUploads" in caplog.text
    # Whose upload it is was noted with no more than the right to write, so that one with more rights can tell.
    assert rights.open("admin", "leftover").sweep_partial("shop") == [FILE]


def test_the_documented_rights_are_enough_to_prune_and_locks_need_not_be_asked_for(rights: Rights) -> None:
    plant_at(rights.open("admin", "pruned"))
    pruner = rights.open("pruner", "pruned")
    report = prune_at(pruner)
    report.raise_if_failed()
    assert len(report.results(Outcome.DELETED)) == 2
    assert pruner.list_folders("shop") == [NEW.folder.rpartition("/")[2]]


def test_without_the_right_to_list_or_to_write_nothing_is_taken_for_empty_or_written(rights: Rights) -> None:
    for look in (lambda d: keys(d), lambda d: d.list_folders(), lambda d: d.stat(FILE), lambda d: d.check_writable()):
        with pytest.raises(MissingRightError, match="s3:ListBucket"):
            look(rights.open("no list", "blind"))
    with pytest.raises(MissingRightError, match="s3:PutObject"):
        rights.open("no write", "mute").check_writable()
    with pytest.raises(MissingRightError, match="s3:PutObject"):
        store(rights.open("no write", "mute"), FILE)


def test_unknown_credentials_are_told_from_missing_rights(rights: Rights) -> None:
    from raven_backup_provider.core.errors import DestinationAccessError

    client = rights.server.client(key="AKIAUNKNOWN", secret="wrong")
    with pytest.raises(DestinationAccessError, match=r"InvalidAccessKeyId.*correct or renew it"):
        keys(S3Destination(client, rights.bucket))

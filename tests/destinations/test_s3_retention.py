"""Retention in a bucket, on moto over HTTPS; object lock as well."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_settings import S3Settings
from raven_backup_provider.jobs.hold import hold_chain, release_chain
from raven_backup_provider.jobs.prune_report import Outcome, PruneReport
from tests.destinations.retention_contract import MIDDLE, NEW, OLD, RetentionContract, plant_at, prune_at
from tests.support.planted_chains import files_of
from tests.support.s3_servers import MotoServer, S3Server, moto_server

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with moto_server(as_aws=True) as running:  # plain moto does not answer what a file's lock is asked for
        yield running


class S3Retention(RetentionContract):
    """The suite, and what object lock adds to it, on a server to be named."""

    @pytest.fixture
    def server(self) -> S3Server:
        raise NotImplementedError

    def open(self, server: S3Server, bucket: str, **settings: Any) -> S3Destination:
        return S3Destination(server.client(), bucket, "below/a prefix", settings=S3Settings(**settings))

    @pytest.fixture
    def bucket(self, server: S3Server) -> str:
        return server.new_bucket()

    @pytest.fixture
    def destination(self, server: S3Server, bucket: str) -> Destination:
        return self.open(server, bucket)

    @pytest.fixture
    def same_place(self, server: S3Server, bucket: str) -> Destination:
        return self.open(server, bucket)

    @pytest.fixture
    def locking_bucket(self, server: S3Server) -> str:
        return server.new_bucket(ObjectLockEnabledForBucket=True)

    def test_a_chain_with_a_locked_file_is_skipped_with_the_date_the_rest_goes_and_it_follows_when_the_lock_ends(
        self, server: S3Server, locking_bucket: str
    ) -> None:
        destination = self.open(server, locking_bucket)
        plant_at(destination)
        key = next(f.key for f in files_of(OLD) if f.key.endswith("incremental-backup"))
        until = datetime.now(timezone.utc).replace(microsecond=0) + 30 * DAY
        lock_until(server, locking_bucket, key, until)
        report = prune_at(destination)
        report.raise_if_failed()
        [skipped] = report.results(Outcome.SKIPPED)
        assert skipped.decision.folder == OLD.folder
        assert f"{key} is protected until {until:%Y-%m-%d %H:%M:%S} UTC" in skipped.note
        assert folders_gone(report) == [MIDDLE.folder]
        assert {f.key for f in files_of(OLD)} <= {f.key for f in destination.list_files("")}
        end_locks(server, locking_bucket, key)
        assert OLD.folder in folders_gone(prune_at(self.open(server, locking_bucket)))
        assert folders_with_files(destination) == {NEW.folder}

    def test_where_all_backups_are_locked_holds_can_be_released_and_no_mark_of_ours_outlives_the_locks(
        self, server: S3Server, locking_bucket: str
    ) -> None:
        locking = self.open(server, locking_bucket, object_lock_mode="GOVERNANCE", object_lock_days=30)
        plant_at(locking)
        now = datetime.now(timezone.utc)
        hold_chain(locking, "shop", MIDDLE.folder, reason="audit", who="ada", now=now)
        release_chain(locking, "shop", MIDDLE.folder)
        report = prune_at(locking)
        report.raise_if_failed()
        assert [f"until {now + 30 * DAY:%Y-%m}" in one.note for one in report.results(Outcome.SKIPPED)] == [True, True]
        end_locks(server, locking_bucket, *(file.key for chain in (OLD, MIDDLE) for file in files_of(chain)))
        assert folders_gone(prune_at(locking)) == [OLD.folder, MIDDLE.folder]
        assert folders_with_files(locking) == {NEW.folder}


def folders_with_files(destination: Destination) -> set[str]:
    """Of backups; not as the place lists folders, for moto lists those of deleted files too where it keeps versions."""
    return {f.key.rpartition("/")[0] for f in destination.list_files("shop")} - {"shop"}


def folders_gone(report: PruneReport) -> list[str]:
    report.raise_if_failed()
    return [one.decision.folder for one in report.results(Outcome.DELETED)]


def lock_until(server: S3Server, bucket: str, key: str, until: datetime, **more: Any) -> None:
    server.client().put_object_retention(
        Bucket=bucket,
        Key=f"below/a prefix/{key}",
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until},
        **more,
    )


def end_locks(server: S3Server, bucket: str, *keys: str) -> None:
    """As if their days were over: let them end soon (a busy machine must not take longer to ask for it), and wait for that."""
    for key in keys:
        until = datetime.now(timezone.utc) + timedelta(seconds=5)
        lock_until(server, bucket, key, until, BypassGovernanceRetention=True)
    time.sleep(max(0.0, (until - datetime.now(timezone.utc)).total_seconds()) + 1)


class TestS3Retention(S3Retention):
    @pytest.fixture
    def server(self, moto: MotoServer) -> MotoServer:
        return moto

    def test_in_a_bucket_that_locks_whatever_comes_in_the_marks_of_a_prune_do_not_keep_it_from_its_end(
        self, server: MotoServer, locking_bucket: str
    ) -> None:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}
        server.client().put_object_lock_configuration(
            Bucket=locking_bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
        destination = self.open(server, locking_bucket)
        plant_at(destination)
        assert prune_at(destination).results(Outcome.DELETED) == []
        hold_chain(destination, "shop", OLD.folder, reason="audit", who="ada", now=datetime.now(timezone.utc))
        release_chain(destination, "shop", OLD.folder)
        end_locks(server, locking_bucket, *(file.key for chain in (OLD, MIDDLE) for file in files_of(chain)))
        assert folders_gone(prune_at(destination)) == [OLD.folder, MIDDLE.folder]
        assert folders_with_files(destination) == {NEW.folder}

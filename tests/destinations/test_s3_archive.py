"""Files in the archive classes of S3, on moto, which keeps them from being read but retrieves at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from raven_backup_provider.core.destination import Archiving, RetrievalState
from raven_backup_provider.core.errors import ArchivedFileError, ConfigurationError, FileMissingAtDestinationError
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_settings import S3Settings
from tests.destinations.contract import FILE, load, store
from tests.support.s3_fault_proxy import FaultProxy
from tests.support.s3_servers import MotoServer, moto_server

MIB = 1 << 20


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with moto_server() as running:
        yield running


@pytest.mark.parametrize("size", [10, 2 * MIB + 1])
@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_file_is_listed_and_its_manifest_read_but_the_file_only_after_a_retrieval(
    moto: MotoServer, storage_class: str, size: int
) -> None:
    destination = S3Destination(
        moto.client(), moto.new_bucket(), settings=S3Settings(part_mb=1, storage_class=storage_class)
    )
    assert isinstance(destination, Archiving)
    data = bytes(size)
    store(destination, FILE, data)
    destination.put(f"{FILE}.manifest.json", b"{}")
    assert load(destination, f"{FILE}.manifest.json") == b"{}"
    assert [file.storage_class for file in destination.list_files()] == [storage_class, "STANDARD"]
    assert destination.retrieval(FILE).state is RetrievalState.ARCHIVED
    with pytest.raises(ArchivedFileError, match=rf"{storage_class}.*retrieved.*hours"):
        destination.open_read(FILE)
    said = destination.request_retrieval(FILE, tier="bulk", days=2)
    assert "Bulk" in said
    assert "hours" in said
    found = destination.retrieval(FILE)
    assert found.state is RetrievalState.READABLE
    assert found.until is not None
    assert abs(found.until - datetime.now(timezone.utc) - timedelta(days=2)) < timedelta(days=1, minutes=5)
    assert load(destination, FILE) == data
    assert "retrieved already" in destination.request_retrieval(FILE)


def test_a_retrieval_that_runs_is_said_to_run_and_not_asked_for_twice(moto: MotoServer) -> None:
    with FaultProxy(moto) as proxy:
        bucket = moto.new_bucket()
        destination = S3Destination(proxy.client(), bucket, settings=S3Settings(storage_class="GLACIER"))
        store(destination, FILE)
        running = {
            "x-amz-storage-class": "GLACIER",
            "x-amz-restore": 'ongoing-request="true"',
            "ETag": '"e"',
            "Last-Modified": "Sun, 22 Nov 2026 12:00:00 GMT",
        }
        proxy.on("head_object", lambda handler, request: handler.reply(request, 200, b"", running), times=9)
        assert destination.retrieval(FILE).state is RetrievalState.RUNNING
        said = destination.request_retrieval(FILE)
        assert "runs already" in said
        assert "3 to 5 hours" in said
        assert proxy.count("POST") == 0


def test_a_tier_that_the_class_has_not_is_refused_with_those_it_has(moto: MotoServer) -> None:
    destination = S3Destination(moto.client(), moto.new_bucket(), settings=S3Settings(storage_class="DEEP_ARCHIVE"))
    store(destination, FILE)
    with pytest.raises(ConfigurationError, match=r"'Expedited'; it has Standard .*Bulk"):
        destination.request_retrieval(FILE, tier="Expedited")


def test_a_file_in_a_readable_class_needs_no_retrieval_and_a_missing_one_is_missing(moto: MotoServer) -> None:
    destination = S3Destination(moto.client(), moto.new_bucket(), settings=S3Settings(storage_class="GLACIER_IR"))
    store(destination, FILE)
    assert destination.retrieval(FILE).state is RetrievalState.READABLE
    assert "can be read at once" in destination.request_retrieval(FILE)
    with pytest.raises(FileMissingAtDestinationError):
        destination.retrieval("shop/none")
    with pytest.raises(FileMissingAtDestinationError):
        destination.request_retrieval("shop/none")

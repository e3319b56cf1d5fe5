"""What an S3 destination does about unfinished uploads that are not its own: nothing, whatever they look like.

Mixed into the contract of S3 destinations (test_s3.py), so that moto, LocalStack and Ceph all run it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import shlex
import threading
import time
import zlib
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig  # type: ignore[import-untyped]

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_parts import equal_parts
from tests.destinations.contract import FILE, FOLDER, digest_of, keys, load, store
from tests.support.s3_servers import S3Server

MIB = 1 << 20
PREFIX = "below/a prefix"
NAME = f"{PREFIX}/{FILE}"
NOTES = f"{PREFIX}/.raven-backup/uploads/"


class SlowStream(io.RawIOBase):
    """A file that stops in the middle until it is told to go on."""

    def __init__(self, data: bytes, stop_at: int) -> None:
        super().__init__()
        self._data, self._stop_at, self._at = data, stop_at, 0
        self.go_on = threading.Event()

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if self._at >= self._stop_at:
            assert self.go_on.wait(120)
        count = len(self._data) - self._at if size is None or size < 0 else size
        found = self._data[self._at : self._at + count]
        self._at += len(found)
        return found


def unfinished(client: Any, bucket: str) -> list[str]:
    return [found["UploadId"] for found in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


def note_names(client: Any, bucket: str) -> list[str]:
    return [f["Key"] for f in client.list_objects_v2(Bucket=bucket, Prefix=NOTES).get("Contents", ())]


class OthersUploads:
    """Tests; the class that they are mixed into has the fixtures and ``part_mb``."""

    part_mb: int
    service: str

    def begin_as_ours_would(self, client: Any, bucket: str, name: str, parts: list[bytes]) -> str:
        """An upload with the parts and the settings of ours, begun by somebody else or by a version that wrote no notes."""
        checks = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"} if self.service == "aws" else {}
        upload_id = str(client.create_multipart_upload(Bucket=bucket, Key=name, **checks)["UploadId"])
        for number, part in enumerate(parts, 1):
            sums = (
                {
                    "ChecksumAlgorithm": "CRC32",
                    "ChecksumCRC32": base64.b64encode(zlib.crc32(part).to_bytes(4, "big")).decode(),
                }
                if self.service == "aws"
                else {"ContentMD5": base64.b64encode(hashlib.md5(part, usedforsecurity=False).digest()).decode()}
            )
            client.upload_part(Bucket=bucket, Key=name, UploadId=upload_id, PartNumber=number, Body=part, **sums)
        return upload_id

    def test_an_upload_that_another_program_is_sending_goes_on_unharmed_while_ours_are_swept(
        self, server: S3Server, bucket: str, destination: Destination, same_place: Destination
    ) -> None:
        client = server.client()
        data = os.urandom(16 * MIB + 5)
        stream = SlowStream(data, 11 * MIB)
        name = f"{PREFIX}/{FOLDER}/2026-11-22-13-00-00.ravendb-full-backup"
        failures: list[BaseException] = []

        def send() -> None:
            try:
                config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=2)
                client.upload_fileobj(stream, bucket, name, Config=config)
            except BaseException as failure:
                failures.append(failure)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            deadline = time.monotonic() + 60
            while not unfinished(client, bucket):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            abandoned = destination.open_write(FILE)
            abandoned.write(bytes(self.part_mb * MIB))
            with same_place.exclusive("shop"):
                assert same_place.sweep_abandoned("shop") == [FILE]  # type: ignore[attr-defined]
                assert same_place.sweep_partial("shop") == []
            assert same_place.sweep_partial("") == []
        finally:
            stream.go_on.set()
            sender.join(120)
        assert failures == []
        assert load(same_place, name.removeprefix(f"{PREFIX}/")) == data
        abandoned.abort()

    def test_an_upload_that_looks_like_ours_in_all_but_the_note_is_named_and_left_alone(
        self,
        server: S3Server,
        bucket: str,
        same_place: Destination,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        client = server.client()
        data = os.urandom((3 * self.part_mb + 1) * MIB)
        size = equal_parts(len(data), self.part_mb * MIB)(0)
        upload_id = self.begin_as_ours_would(client, bucket, NAME, [data[:size], data[size : 2 * size]])
        caplog.set_level(logging.INFO)
        with same_place.exclusive("shop"):
            assert same_place.sweep_abandoned("shop") == []  # type: ignore[attr-defined]
            assert same_place.sweep_partial("shop") == []
        (line,) = {record.getMessage() for record in caplog.records if "left alone" in record.getMessage()}
        assert FILE in line
        assert "ago" in line
        assert f"aws s3api abort-multipart-upload --endpoint-url {server.url} --bucket {bucket} --key '{NAME}'" in line
        assert f"--upload-id {shlex.quote(upload_id)}" in line
        # A copy of the very same content sends all of it itself rather than to spoil another's upload.
        with same_place.open_write(FILE, expected=digest_of(data)) as writer:
            writer.write(data)
            writer.commit(digest_of(data))
        assert load(same_place, FILE) == data
        assert unfinished(client, bucket) == [upload_id]

    def test_of_many_uploads_of_others_only_some_are_named_and_the_rest_counted(
        self, server: S3Server, bucket: str, destination: Destination, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = server.client()
        for number in range(8):
            client.create_multipart_upload(Bucket=bucket, Key=f"{PREFIX}/shop/{number}")
        caplog.set_level(logging.INFO)
        assert destination.sweep_partial("shop") == []
        lines = [record.getMessage() for record in caplog.records if "left alone" in record.getMessage()]
        assert len(lines) == 6
        assert lines[-1].startswith("3 more unfinished uploads")
        assert "list-multipart-uploads" in lines[-1]
        assert len(unfinished(client, bucket)) == 8

    def test_the_note_of_an_upload_is_there_while_it_runs_and_gone_when_it_has_ended(
        self, server: S3Server, bucket: str, destination: Destination, same_place: Destination
    ) -> None:
        client = server.client()
        data = bytes((self.part_mb + 1) * MIB)
        with destination.open_write(FILE) as writer:
            writer.write(data)
            assert len(note_names(client, bucket)) == 1
            writer.commit(digest_of(data))
        assert note_names(client, bucket) == []
        with destination.open_write(f"{FOLDER}/given up") as writer:
            writer.write(data)
            assert len(note_names(client, bucket)) == 1
        assert note_names(client, bucket) == []
        abandoned = destination.open_write(f"{FOLDER}/abandoned")
        abandoned.write(data)
        assert same_place.sweep_partial("") == [f"{FOLDER}/abandoned"]
        assert note_names(client, bucket) == []
        abandoned.abort()
        store(destination, f"{FOLDER}/small", b"small")
        assert note_names(client, bucket) == []
        assert keys(destination) == [FILE, f"{FOLDER}/small"]

    def test_a_note_is_for_one_upload_and_not_for_another_of_the_same_name(
        self, server: S3Server, bucket: str, destination: Destination, same_place: Destination
    ) -> None:
        client = server.client()
        theirs = str(client.create_multipart_upload(Bucket=bucket, Key=NAME)["UploadId"])
        abandoned = destination.open_write(FILE)
        abandoned.write(bytes(self.part_mb * MIB))
        assert isinstance(same_place, S3Destination)
        assert same_place.sweep_partial("shop") == [FILE]
        assert unfinished(client, bucket) == [theirs]
        abandoned.abort()
        assert unfinished(client, bucket) == [theirs]

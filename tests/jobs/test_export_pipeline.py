"""The digest of a backup file: made once, by whoever sees the bytes last."""

from __future__ import annotations

import hashlib

import pytest

from raven_backup_provider.core.encryption import Decryptor, EncryptionKey
from raven_backup_provider.core.errors import ExportRejectedError
from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.jobs.export_pipeline import ContentLook, run_export

BODY = [b'{"BuildVersion":71028,"Docs":[', b'{"@metadata":{"@id":"a"}},' * 9000, b'{"@metadata":{"@id":"b"}}]}']
PLAIN = b"".join(BODY)


class Sink:
    """Keeps what it is given, and hashes it as some writers do."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self.data += data

    def given(self) -> FileDigest:
        return FileDigest(len(self.data), hashlib.sha256(self.data).hexdigest())


@pytest.mark.parametrize("key", [None, EncryptionKey(bytes(range(32)))])
@pytest.mark.parametrize("asks_the_writer", [False, True])
def test_the_digest_is_that_of_what_was_written(key: EncryptionKey | None, asks_the_writer: bool) -> None:
    sink = Sink()
    given = sink.given if asks_the_writer else None
    exported = run_export(iter(BODY), sink.write, key=key, look=ContentLook(), given=given)
    assert exported.digest == sink.given()
    assert exported.body_bytes == len(PLAIN)
    if key is None:
        assert sink.data == PLAIN
    else:
        decryptor = Decryptor(key)
        assert decryptor.update(sink.data) + decryptor.finish() == PLAIN


def test_a_writer_that_counts_other_bytes_than_it_was_given_is_not_believed() -> None:
    sink = Sink()
    with pytest.raises(ExportRejectedError, match="were written"):
        run_export(iter(BODY), lambda data: sink.write(data[:-1]), key=None, look=ContentLook(), given=sink.given)

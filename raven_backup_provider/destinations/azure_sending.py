"""Blocks on their way: sent in parallel, hashed in order, with no more in memory than was agreed.

:class:`BlockSender` owns the threads. Memory is the blocks in flight (concurrency times the smallest block; larger blocks
means fewer of them) and the one being filled.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from raven_backup_provider.core.errors import CorruptBackupError
from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.destinations.azure_blocks import block_id
from raven_backup_provider.destinations.azure_body import BlockBody
from raven_backup_provider.destinations.azure_errors import Right
from raven_backup_provider.destinations.azure_place import AzurePlace


class BlockSender:
    """Sends the blocks of one file.

    :param writer: 8 hex digits that name whoever stages the blocks (azure_blocks.py).
    :param there: names of blocks that lie there already and need not be sent.
    """

    def __init__(self, place: AzurePlace, key: str, writer: str, there: frozenset[str], *, copy: bool = False) -> None:
        self._place, self._key, self._writer, self._there, self._copy = place, key, writer, there, copy
        self._blob = place.blob(key)
        self._deed = place.calls.deed("write", key, Right.WRITE)
        self._limit = place.settings.concurrency * place.settings.block_bytes
        self._stop = threading.Event()
        self._change = threading.Condition()
        self._in_flight = 0
        self._spare: list[bytearray] = []
        self._failure: BaseException | None = None
        self._ids: list[str] = []
        self._pool = ThreadPoolExecutor(place.settings.concurrency, thread_name_prefix="backup-azure-block")
        # Of its own, for a file's hash needs its blocks in order.
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="backup-azure-hash")
        self._sha256 = hashlib.sha256()
        self._trusted = ""  # the SHA-256 that the caller makes sure of
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0

    @property
    def count(self) -> int:
        """Blocks handed over so far."""
        return len(self._ids)

    @property
    def spared(self) -> int:
        """Blocks that were there already."""
        return sum(name in self._there for name in self._ids)

    def buffer(self, size: int) -> bytearray:
        """An empty block to fill, as soon as memory for it is free.

        :raises DestinationError: a block could not be sent.
        """
        with self._change:
            self._change.wait_for(
                lambda: self._failure is not None or not self._in_flight or self._in_flight + size <= self._limit
            )
            self._raise_failure()
            while self._spare:
                spare = self._spare.pop()
                if len(spare) == size:
                    return spare
        return bytearray(size)

    def send(self, buffer: bytearray, length: int) -> None:
        """Hand over a block; returns at once."""
        number = len(self._ids)
        self._ids.append("")
        with self._change:
            self._in_flight += length
        hashed = self._hasher.submit(self._hash, buffer, length)
        self._pool.submit(self._work, number, buffer, length, hashed)

    def finish(self) -> tuple[list[str], FileDigest, bytes]:
        """Wait for the rest: names of the blocks in order, what was sent, and its MD5.

        :raises DestinationError: a block could not be sent.
        """
        with self._change:
            self._change.wait_for(lambda: self._failure is not None or not self._in_flight)
            self._raise_failure()
        self.stop()
        return self._ids, FileDigest(self._size, self._trusted or self._sha256.hexdigest()), self._md5.digest()

    def trust(self, sha256: str) -> None:
        """Before the first block: the caller makes sure that what is sent has this SHA-256."""
        self._trusted = sha256

    def stop(self) -> None:
        """End the threads; requests under way are given up. Idempotent."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)
        self._hasher.shutdown(cancel_futures=True)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _hash(self, buffer: bytearray, length: int) -> None:
        view = memoryview(buffer)[:length]
        if not self._trusted:
            self._sha256.update(view)
        self._md5.update(view)
        self._size += length

    def _work(self, number: int, buffer: bytearray, length: int, hashed: Future[None]) -> None:
        failure: BaseException | None = None
        try:
            self._stage(number, memoryview(buffer)[:length])
            hashed.result()
        except BaseException as error:
            failure = error
        with self._change:
            self._in_flight -= length
            self._spare.append(buffer)
            if failure is not None and self._failure is None:
                self._failure = failure
                self._stop.set()  # the others are of no use any more
            self._change.notify_all()

    def _stage(self, number: int, data: memoryview) -> None:
        md5 = hashlib.md5(data, usedforsecurity=False)
        name = block_id(self._writer, number, md5.hexdigest(), copy=self._copy)
        if name not in self._there:
            self._send(name, data, base64.b64encode(md5.digest()).decode())
        self._ids[number] = name

    def _send(self, name: str, data: memoryview, md5: str) -> None:
        """Azure computes the MD5 of what arrives and refuses the block if it is not the one in the header."""
        calls = self._place.calls

        def stage(**options: Any) -> None:
            body: Any = BlockBody(data, self._place.pace, calls.deadline(len(data)), self._stop)
            answer = self._blob.stage_block(name, body, length=len(data), headers={"Content-MD5": md5}, **options)
            returned = answer.get("content_md5")
            if returned is not None and base64.b64encode(bytes(returned)).decode() != md5:
                raise CorruptBackupError(
                    f"A block of '{self._key}' in {self._place.identity} arrived as something else: MD5 "
                    f"{bytes(returned).hex()}. Nothing was published."
                )

        calls.run(self._deed, stage, stop=self._stop, **self._place.settings.scope)

"""SHA-256 of a stream in a thread beside the one that sends it, so that the sending does not wait for the hashing.

Half a second of a core for each GB (measured with SHA instructions), as much as sending costs over TLS. hashlib gives up the
interpreter lock for each piece.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

#: Pieces (the jobs' are up to 1 MiB) that may wait for the thread: bounds memory where hashing is the slower side.
_QUEUE_LENGTH = 8
#: Bytes below which no thread is worth it: manifests and other small files.
_WORTH_IT = 4 << 20


class SideHash:
    """Takes a stream piece by piece, in order; :meth:`finish` gives its SHA-256. For use by one thread.

    :param begun: SHA-256 of what comes before; this object's own until :meth:`stop`.
    """

    def __init__(self, begun: _Hash | None = None) -> None:
        self._hash = hashlib.sha256() if begun is None else begun
        self._seen = 0
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_QUEUE_LENGTH)
        self._thread: threading.Thread | None = None

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Append. What the caller might change later is copied if it cannot be hashed at once."""
        self._seen += len(data)
        if self._thread is None:
            if self._seen < _WORTH_IT:
                self._hash.update(data)
                return
            # A daemon: a killed task must not wait for it.
            self._thread = threading.Thread(target=self._work, name="backup-hash", daemon=True)
            self._thread.start()
        self._pieces.put(data if isinstance(data, bytes) else bytes(data))

    def finish(self) -> str:
        """Hexadecimal SHA-256 of all so far; waits for the thread. More may follow."""
        self.stop()
        return self._hash.hexdigest()

    def stop(self) -> None:
        """End the thread. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._pieces.put(None)
            thread.join()

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._hash.update(piece)

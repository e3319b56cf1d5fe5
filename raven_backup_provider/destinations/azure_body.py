"""A block on its way to Azure, in small pieces.

The HTTP library hands a whole body to the socket in one call, for which its time-out holds as a whole: 8 MiB over a slow line
would never arrive. It takes an iterable of pieces as well, and then the time-out holds for each of them. Between two pieces
the bandwidth limit and the end of the transfer get their say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.azure_calls import check_progress

_PIECE = 256 * 1024


class BlockBody:
    """Content of one block; may be iterated again for another try.

    :param deadline: monotonic time by which it must be sent.
    """

    def __init__(self, data: memoryview, pace: Pace, deadline: float, stop: threading.Event) -> None:
        self._data, self._pace, self._deadline, self._stop = data, pace, deadline, stop

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[memoryview]:
        for at in range(0, len(self._data), _PIECE):
            check_progress(self._deadline, self._stop)
            piece = self._data[at : at + _PIECE]
            begun = time.monotonic()
            self._pace.spend(len(piece))
            self._deadline += time.monotonic() - begun  # waiting for one's turn is not being stuck
            yield piece

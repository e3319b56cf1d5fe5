"""Find the counter groups of a backup without parsing the rest of it.

A full backup must be looked through for its counters at the rate at which it arrives, so only the groups are parsed: each
begins with ``{"DocId":"`` (exports of 5.4.207, 6.2.4 and 7.1.5). A document or an attachment that looks just like a group is
taken for one; the marks are then too many, which at worst costs a full backup that was not needed. That none was overlooked is
for the caller to see, by the server's own count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from json.decoder import JSONDecodeError
from typing import Any

_BEGIN = b'{"DocId":"'
#: Bytes. A group holds about 2 KiB of values; one that does not end within this is none.
MAX_GROUP = 4 * 1024 * 1024

# A brace, or a string with its end (group 1) where that is there.
_TOKEN = re.compile(rb'[{}]|"(?:[^"\\]|\\.)*(")?', re.DOTALL)
_scan = json.JSONDecoder().raw_decode


class CounterScan:
    """Takes the decoded backup in pieces and hands on each counter group.

    :param on_group: gets the parsed group.
    """

    def __init__(self, on_group: Callable[[Mapping[str, Any]], None]) -> None:
        self._on_group = on_group
        self._rest = b""  # begins with a group that is not whole yet, or may begin one

    def feed(self, piece: bytes) -> None:
        """The next decoded bytes."""
        self._look(self._rest + piece if self._rest else piece, last=False)

    def finish(self) -> None:
        """There are no more: what only looked like the beginning of a group is passed over."""
        self._look(self._rest, last=True)

    def _look(self, data: bytes, *, last: bool) -> None:
        at = 0
        while (start := data.find(_BEGIN, at)) >= 0:
            end = self._group_end(data, start)
            if end is None and not last:
                self._rest = data[start:]
                return
            at = end or start + len(_BEGIN)
        self._rest = data[max(at, len(data) - len(_BEGIN) + 1) :]

    def _group_end(self, data: bytes, start: int) -> int | None:
        """Where to look on; None if the group goes on in the next piece."""
        end = _object_end(data, start)
        if end is None:
            return None if len(data) - start < MAX_GROUP else start + len(_BEGIN)
        try:
            value, _ = _scan(data[start:end].decode("utf-8"))
        except (JSONDecodeError, UnicodeDecodeError, RecursionError):
            return start + len(_BEGIN)
        if isinstance(value.get("Values"), dict) and "ChangeVector" in value:
            self._on_group(value)
            return end
        return start + len(_BEGIN)


def _object_end(data: bytes, start: int) -> int | None:
    """End of the JSON object that begins at ``start``, by its braces outside of strings."""
    depth, at = 0, start
    while match := _TOKEN.search(data, at):
        at = match.end()
        first = match.group()[:1]
        if first == b"{":
            depth += 1
        elif first == b"}":
            depth -= 1
            if depth == 0:
                return at
        elif match.group(1) is None:  # a string that does not end here
            return None
    return None

"""A sliding window over a decoded backup that hands out JSON values and raw byte runs by position, in flat memory.

The bytes are looked at as Latin-1 text: one byte is one character, so offsets stay byte offsets although raw attachments
stand between the values, and Python's C scanner for JSON can start anywhere. Strings come out as their UTF-8 bytes in
disguise; ``export_reader`` puts right those that matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from json.decoder import JSONDecodeError
from typing import Any, Protocol

from raven_backup_provider.core.errors import CorruptBackupError

MAX_VALUE_BYTES = 1 << 29
"""A document larger than this (512 MiB) is refused: parsing it would take gigabytes of memory."""

_SPACE = " \t\r\n"
_MARGIN = 16  # a number, literal or escape that the window cuts is reported this close to its end

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class Hash(Protocol):
    """What hashlib's objects can do."""

    def update(self, data: bytes, /) -> None: ...


class Window:
    """Reads a decoded backup from its start.

    :param chunks: the decoded bytes in order.
    :param name: the file's name, for errors.
    """

    def __init__(self, chunks: Iterable[bytes], name: str) -> None:
        self._chunks = iter(chunks)
        self._name = name
        self._text = ""
        self._base = 0  # decoded offset of the text's first character
        self._at = 0
        self.section = ""
        """The property being read, for errors."""

    @property
    def offset(self) -> int:
        """Decoded bytes passed so far."""
        return self._base + self._at

    def peek(self) -> str:
        """The next character that is no white space; "" at the end of the stream."""
        while True:
            text, at, end = self._text, self._at, len(self._text)
            while at < end and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < end:
                return text[at]
            if not self._more():
                return ""

    def take(self, allowed: str) -> str:
        """Pass the next character, which must be one of ``allowed``."""
        found = self.peek()
        if not found or found not in allowed:
            raise self.unexpected(" or ".join(repr(one) for one in allowed))
        self._at += 1
        return found

    def value(self) -> tuple[Any, str]:
        """Pass one JSON value; the value as scanned and its text, both in Latin-1 disguise."""
        self.peek()
        wanted = 0
        while True:
            text, at = self._text, self._at
            try:
                value, end = _scan(text, at)
            except StopIteration as error:
                self._need_more(int(error.value), "a value", wanted)
            except JSONDecodeError as error:
                cut_string = error.msg.startswith("Unterminated string")
                self._need_more(len(text) if cut_string else error.pos, error.msg, wanted)
            except RecursionError:
                raise CorruptBackupError(
                    f"{self._name} cannot be checked: the value at {self._place(self.offset)} is nested deeper than "
                    "Python can follow (about 1,000 levels)."
                ) from None
            else:
                if end < len(text):  # a number at the very end may go on in the next chunk
                    self._at = end
                    return value, text[at:end]
                self._need_more(end, "a value", wanted)
            wanted = max(2 * (len(self._text) - self._at), 1)

    def skip(self, count: int, digest: Hash | None = None) -> None:
        """Pass ``count`` raw bytes without keeping them."""
        left = count
        while True:
            step = min(left, len(self._text) - self._at)
            if digest is not None and step:
                digest.update(self._text[self._at : self._at + step].encode("latin-1"))
            self._at += step
            left -= step
            if not left:
                return
            if not self._more():
                raise self._cut(f"{left} of {count} raw bytes are missing")

    def bytes(self, count: int, *, keep: int) -> bytes:
        """Pass ``count`` raw bytes and return the first ``keep`` of them."""
        while len(self._text) - self._at < min(keep, count) and self._more():
            pass
        head = self._text[self._at : self._at + min(keep, count)].encode("latin-1")
        self.skip(count)
        return head

    def expect_end(self) -> None:
        """Require that nothing but white space follows."""
        if self.peek():
            raise CorruptBackupError(
                f"{self._name} is damaged: bytes follow behind the end of the backup at decoded byte {self.offset}."
            )

    def unexpected(self, wanted: str) -> CorruptBackupError:
        """The error for what stands here instead of what was wanted.

        It does not show what stands there: a backup holds documents and connection strings, a message goes to logs.
        """
        if not self.peek():
            return self._cut(f"{wanted} is missing")
        return CorruptBackupError(
            f"{self._name} is damaged at {self._place(self.offset)}: something else than {wanted} stands there."
        )

    def _need_more(self, error_at: int, wanted: str, wanted_length: int) -> None:
        """Lengthen the text if the error may come from its end being cut; raise if not.

        Doubles the unread part, so that a huge document is scanned about twice in all and not once per chunk.
        """
        if error_at < len(self._text) - _MARGIN:
            self._at = error_at
            raise self.unexpected(wanted)
        if len(self._text) - self._at > MAX_VALUE_BYTES:
            raise CorruptBackupError(
                f"{self._name} is damaged at {self._place(self.offset)}, or holds a value of more than "
                f"{MAX_VALUE_BYTES} bytes."
            )
        if not self._more(wanted_length):
            raise self._cut("a value is not complete")

    def _more(self, wanted: int = 1) -> bool:
        """Drop what was passed and append chunks until the text has ``wanted`` characters; False at the end."""
        parts = [self._text[self._at :]]
        length = len(parts[0])
        self._base += self._at
        self._at = 0
        wanted = max(wanted, length + 1)
        grown = False
        while length < wanted:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(str(chunk, "latin-1"))
            length += len(chunk)
            grown = grown or bool(chunk)
        self._text = "".join(parts)
        return grown

    def _cut(self, what: str) -> CorruptBackupError:
        end = self._base + len(self._text)
        return CorruptBackupError(f"{self._name} is cut: it ends at {self._place(end)} where {what}.")

    def _place(self, offset: int) -> str:
        return f"decoded byte {offset}" + (f" (in {self.section})" if self.section else "")

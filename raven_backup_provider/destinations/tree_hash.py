"""The SHA-256 tree hash with which the Glacier vault service checks what it receives.

Leaves are the SHA-256 of each MiB; two neighbours make a parent (the SHA-256 of both, one behind the other), one left over
goes up as it is. The same rule joins the hashes of parts into that of the whole, if each part but the last is a power of
two of MiB long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

LEAF = 1 << 20


class TreeHash:
    """Takes bytes as they come; memory grows with the logarithm of their number only."""

    def __init__(self) -> None:
        self._leaf = hashlib.sha256()
        self._room = LEAF
        self._nodes = _Nodes()

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        view = memoryview(data).cast("B")
        while view:
            piece = view[: self._room]
            self._leaf.update(piece)
            self._room -= len(piece)
            view = view[len(piece) :]
            if not self._room:
                self._nodes.add(self._leaf.digest())
                self._leaf, self._room = hashlib.sha256(), LEAF

    def hexdigest(self) -> str:
        """64 lower-case hex digits; that of nothing is the SHA-256 of nothing."""
        if self._room == LEAF and self._nodes:
            return self._nodes.root().hex()
        return self._nodes.root(self._leaf.digest()).hex()


def tree_hash(data: bytes) -> str:
    """Of bytes that lie in memory."""
    whole = TreeHash()
    whole.update(data)
    return whole.hexdigest()


def joined(parts: Iterable[str]) -> str:
    """The tree hash of a whole from those of its parts, in order, as hex digits."""
    nodes = _Nodes()
    for part in parts:
        nodes.add(bytes.fromhex(part))
    return nodes.root().hex()


class _Nodes:
    """Roots of full subtrees, the largest first; a new leaf merges those of equal height."""

    def __init__(self) -> None:
        self._roots: list[tuple[int, bytes]] = []

    def __bool__(self) -> bool:
        return bool(self._roots)

    def add(self, digest: bytes) -> None:
        height = 0
        while self._roots and self._roots[-1][0] == height:
            digest = hashlib.sha256(self._roots.pop()[1] + digest).digest()
            height += 1
        self._roots.append((height, digest))

    def root(self, last: bytes | None = None) -> bytes:
        digests = [digest for _, digest in self._roots] + ([last] if last is not None else [])
        whole = digests.pop()
        while digests:
            whole = hashlib.sha256(digests.pop() + whole).digest()
        return whole

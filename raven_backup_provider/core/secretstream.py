"""Run libsodium's secretstream (XChaCha20-Poly1305) over many 4096-byte blocks at C speed.

RavenDB seals every 4096 plain bytes into 4113 bytes of their own, so a gigabyte is 260,000 calls. PyNaCl's own functions
allocate and copy on each of them (585-860 MB/s); here one call of :func:`any` over :func:`map` runs 256 of them on
buffers and pointers made once (about 1,100 MB/s on the same machine). The calls keep the interpreter lock on purpose:
giving it up every 4 us costs 99.5 % of the speed as soon as one other Python thread is busy (measured: 5 against 540 MB/s).

Where PyNaCl's private module looks different one day, :class:`PlainStream` does the same with its public functions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import repeat
from operator import length_hint
from typing import Any, Protocol

import nacl.bindings as sodium  # calls sodium_init; must be imported before nacl._sodium, or the slow code is chosen

BLOCK = 4096
OVERHEAD = sodium.crypto_secretstream_xchacha20poly1305_ABYTES  # 17
SEALED = BLOCK + OVERHEAD
HEADER = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES  # 24
BATCH = 256  # blocks per inner loop: 1 MiB
_TAG_MESSAGE = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE  # 0, the only tag RavenDB writes


class BlockError(Exception):
    """A block does not open under this key at this place.

    :param block: how many blocks of the call were opened before it.
    """

    def __init__(self, block: int) -> None:
        self.block = block
        super().__init__(f"block {block} is not authentic")


class BlockStream(Protocol):
    """One direction of a secretstream. ``header`` are its 24 public bytes."""

    header: bytes

    def push(self, data: memoryview, head: bytes = b"") -> bytes | memoryview:
        """Seal one whole block ``head``, if given, and up to ``BATCH * BLOCK`` bytes; only the last block of a file may be shorter
        than ``BLOCK``. What comes back is good until the next call only.
        """

    def pull(self, data: memoryview) -> bytes:
        """Open up to ``BATCH * SEALED`` bytes; raises BlockError."""


class PlainStream:
    """The reference: one call of PyNaCl's public binding per block."""

    def __init__(self, key: bytes, header: bytes | None = None) -> None:
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        if header is None:
            self.header = sodium.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        else:
            self.header = header
            sodium.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def push(self, data: memoryview, head: bytes = b"") -> bytes:
        blocks = [head] if head else []
        blocks += [bytes(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)]
        return b"".join(
            sodium.crypto_secretstream_xchacha20poly1305_push(self._state, block, None, _TAG_MESSAGE)
            for block in blocks
        )

    def pull(self, data: memoryview) -> bytes:
        opened = []
        for at in range(0, len(data), SEALED):
            try:
                block, _tag = sodium.crypto_secretstream_xchacha20poly1305_pull(
                    self._state, bytes(data[at : at + SEALED]), None
                )
            except Exception as error:  # PyNaCl raises several classes, all meaning "not authentic" or "too short"
                raise BlockError(at // SEALED) from error
            opened.append(block)
        return b"".join(opened)


_POINTER = ctypes.c_void_p
_PUSH_TYPE = ctypes.PYFUNCTYPE(
    ctypes.c_int,
    _POINTER,
    _POINTER,
    _POINTER,
    _POINTER,
    ctypes.c_ulonglong,
    _POINTER,
    ctypes.c_ulonglong,
    ctypes.c_ubyte,
)
_PULL_TYPE = ctypes.PYFUNCTYPE(
    ctypes.c_int, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER, ctypes.c_ulonglong, _POINTER, ctypes.c_ulonglong
)


class FastStream:
    """The same on buffers and pointers made once. Not safe for use by two threads at a time."""

    def __init__(self, key: bytes, header: bytes | None = None) -> None:
        from nacl import _sodium

        ffi, lib = _sodium.ffi, _sodium.lib
        self._ffi = ffi
        self._state = ffi.new("unsigned char[]", sodium.crypto_secretstream_xchacha20poly1305_STATEBYTES)
        self._sealing = header is None
        if header is None:
            made = ffi.new("unsigned char[]", HEADER)
            failed = lib.crypto_secretstream_xchacha20poly1305_init_push(self._state, made, key)
            self.header = bytes(ffi.buffer(made))
        else:
            self.header = header
            failed = lib.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)
        if failed:
            raise RuntimeError("libsodium refused to start a secretstream")

        step_out = SEALED if self._sealing else BLOCK
        # One block more than a batch: for the one that was pieced together from two pieces of the file.
        self._out = ffi.new("unsigned char[]", (BATCH + 1) * step_out)
        self._out_view = memoryview(ffi.buffer(self._out)).cast("B")
        self._outs = [_POINTER(self._address(self._out) + n * step_out) for n in range(BATCH + 1)]
        self._state_pointer = _POINTER(self._address(self._state))
        name = "crypto_secretstream_xchacha20poly1305_" + ("push" if self._sealing else "pull")
        self._call: Any = (_PUSH_TYPE if self._sealing else _PULL_TYPE)(self._address(ffi.addressof(lib, name)))

    def _address(self, pointer: Any) -> int:
        return int(self._ffi.cast("uintptr_t", pointer))

    def push(self, data: memoryview, head: bytes = b"") -> memoryview:
        done = 0
        if head:
            kept = self._ffi.from_buffer(head)  # the caller's bytes, as they lie there, for as long as this lives
            self._push_run([self._address(kept)], self._outs, BLOCK)
            done = 1
        whole, rest = divmod(len(data), BLOCK)
        kept = self._ffi.from_buffer(data)
        first = self._address(kept)
        self._push_run(range(first, first + whole * BLOCK, BLOCK), self._outs[done:], BLOCK)
        done += whole
        if rest:
            self._push_run([first + whole * BLOCK], self._outs[done:], rest)
        return self._out_view[: done * SEALED + (rest + OVERHEAD if rest else 0)]

    def _push_run(self, ins: Sequence[int], outs: list[ctypes.c_void_p], length: int) -> None:
        calls = map(
            self._call, repeat(self._state_pointer), outs, repeat(None), ins,
            repeat(length), repeat(None), repeat(0), repeat(_TAG_MESSAGE),
        )  # fmt: skip
        if any(calls):
            raise RuntimeError("libsodium refused to seal a block")

    def pull(self, data: memoryview) -> bytes:
        whole, rest = divmod(len(data), SEALED)
        if rest and rest < OVERHEAD:
            raise BlockError(whole)
        kept = self._ffi.from_buffer(data)
        start = self._address(kept)
        self._pull_run(0, range(start, start + whole * SEALED, SEALED), SEALED)
        if rest:
            self._pull_run(whole, [start + whole * SEALED], rest)
        return bytes(self._out_view[: whole * BLOCK + (rest - OVERHEAD if rest else 0)])

    def _pull_run(self, first: int, ins: Sequence[int], length: int) -> None:
        outs = iter(self._outs[first : first + len(ins)])
        calls = map(
            self._call, repeat(self._state_pointer), outs, repeat(None), repeat(None), ins,
            repeat(length), repeat(None), repeat(0),
        )  # fmt: skip
        if any(calls):  # any() stops at the first refusal, so what is left of ``outs`` tells which block it was
            raise BlockError(first + len(ins) - length_hint(outs) - 1)


def open_stream(key: bytes, header: bytes | None = None) -> BlockStream:
    """A stream that seals (``header`` None) or opens, the fast one where it works."""
    try:
        return FastStream(key, header)
    except (ImportError, AttributeError, TypeError):
        return PlainStream(key, header)

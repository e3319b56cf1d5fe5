"""Chunked bodies are taken apart as Python's own reader does it, and a torn one never passes for a whole one."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

import pytest

from raven_backup_provider.raven.chunked_body import ChunkedBody
from raven_backup_provider.raven.connections import pool_classes

END = b"0\r\n\r\n"


def framed(chunks: list[bytes], end: bytes = END, form: str = "{:X}") -> bytes:
    return b"".join(form.format(len(chunk)).encode() + b"\r\n" + chunk + b"\r\n" for chunk in chunks) + end


class Wire:
    """Gives bytes in pieces of the sizes that a random generator says, as a connection does."""

    def __init__(self, data: bytes, dice: Random, largest: int) -> None:
        self._data, self._dice, self._largest = io.BytesIO(data), dice, largest

    def read_into(self, view: memoryview) -> int:
        return self._data.readinto(view[: self._dice.randint(1, self._largest)])

    def rest(self) -> bytes:
        return self._data.read()


def read_all(body: ChunkedBody, amount: int) -> bytes:
    pieces = []
    while piece := body.read(amount):
        pieces.append(piece)
    assert body.ended
    assert all(len(piece) == amount for piece in pieces[:-1])
    return b"".join(pieces)


def by_python(data: bytes) -> bytes:
    class Socket:
        def makefile(self, *_: Any) -> io.BytesIO:
            return io.BytesIO(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data)

    response = http.client.HTTPResponse(Socket())  # type: ignore[arg-type]
    response.begin()
    return response.read()


def chunks_of(dice: Random, usual: int, count: int) -> list[bytes]:
    """Mostly of one size, now and then another, as RavenDB sends them."""
    sizes = (usual if dice.random() < 0.95 else dice.randint(1, 3 * usual) for _ in range(count))
    return [dice.randbytes(size) for size in sizes]


@pytest.mark.parametrize("usual", [1, 7, 1024, 4096, 200_000])
@pytest.mark.parametrize("largest", [3, 5000, 1 << 20])
def test_a_body_comes_out_as_python_reads_it_however_it_arrives(usual: int, largest: int) -> None:
    dice = Random(usual * largest)
    for _ in range(3):
        chunks = chunks_of(dice, usual, min(1500, 40_000 * min(largest, 100) // usual // 10 + 3))
        data = framed(chunks, form=dice.choice(["{:X}", "{:x}", "{:08x}", "{:x};name=value"]))
        expected = by_python(data)
        assert expected == b"".join(chunks)
        for amount in (1000, 65_536, 1 << 20):
            body = ChunkedBody(Wire(data, dice, largest).read_into, amount)
            assert read_all(body, amount) == expected


def test_what_looks_like_framing_within_a_chunk_is_content() -> None:
    chunk = b"400\r\n" * 204 + b"\r\n\r\n"
    assert len(chunk) == 1024
    body = ChunkedBody(Wire(framed([chunk] * 500), Random(1), 9000).read_into, 100_000)
    assert read_all(body, 100_000) == chunk * 500


@pytest.mark.parametrize("usual", [5, 1024])
def test_a_body_cut_anywhere_is_an_error(usual: int) -> None:
    dice = Random(usual)
    data = framed(chunks_of(dice, usual, 40), b"0\r\nX: y\r\n\r\n")
    cuts = range(len(data)) if usual < 100 else [*range(0, len(data), 97), *range(len(data) - 30, len(data))]
    for cut in cuts:
        body = ChunkedBody(Wire(data[:cut], dice, 700).read_into, 10_000)
        with pytest.raises(http.client.IncompleteRead):
            read_all(body, 10_000)


@pytest.mark.parametrize(
    "data",
    [
        framed([b"a" * 1024] * 20, b"") + b"\r\n" + END,
        framed([b"a" * 1024] * 20, b"") + b"+4\r\nabcd\r\n" + END,
        framed([b"a" * 1024] * 20, b"") + b"0x4\r\nabcd\r\n" + END,
        framed([b"a" * 1024] * 20, b"") + b"-1\r\n\r\n" + END,
        framed([b"a" * 1024] * 20, b"") + b"400\r\n" + b"a" * 1025 + b"\r\n" + END,
        framed([b"a" * 1024] * 20, b"") + b"400\r\n" + b"a" * 1024 + b"\r400\r\n" + b"a" * 1024 + b"\r\n" + END,
        framed([b"a" * 1024] * 20, b"") + b"<html>oops</html>\r\n\r\n",
        framed([b"a" * 1024] * 20, b"") + b"4;" + b"x" * 100_000 + b"\r\nabcd\r\n" + END,
    ],
    ids=["no size", "sign", "prefix", "negative", "too long", "torn line end", "another answer", "endless line"],
)
def test_framing_that_makes_no_sense_is_an_error(data: bytes) -> None:
    body = ChunkedBody(Wire(data, Random(0), 3000).read_into, 100_000)
    with pytest.raises(http.client.IncompleteRead):
        read_all(body, 100_000)


def test_the_trailer_is_passed_over_and_nothing_behind_the_body_is_waited_for() -> None:
    wire = Wire(framed([b"abc"], b"0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n"), Random(0), 1)
    body = ChunkedBody(wire.read_into, 100)
    assert body.read(100) == b"abc"
    assert body.ended
    assert wire.rest() == b""
    assert body.read(100) == b""


@pytest.fixture
def far_end() -> Iterator[tuple[str, list[list[bytes]]]]:
    """A server that answers each connection with the pieces it is given, and then neither sends nor hangs up."""
    pieces: list[list[bytes]] = []
    done = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            taken, _ = listening.accept()
            with closing(taken):
                taken.recv(65536)
                for piece in pieces[0]:
                    taken.sendall(piece)
                    done.wait(0.05)
                done.wait(60)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", pieces
        done.set()
        thread.join()


@pytest.mark.parametrize("size", [1, 5000, 8100, 50_000])
@pytest.mark.parametrize("together", [True, False], ids=["at once", "in parts"])
def test_a_body_that_came_whole_is_not_waited_for_on_a_connection_that_stays_open(
    far_end: tuple[str, list[list[bytes]]], size: int, together: bool
) -> None:
    """A small export may be there with the head of the answer before anybody reads it."""
    url, pieces = far_end
    content = Random(size).randbytes(size)
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed(
        [content[at : at + 1024] for at in range(0, size, 1024)]
    )
    pieces.append([answer] if together else [answer[: len(answer) // 2], answer[len(answer) // 2 :]])
    with pool_classes(checked=True, send_silence=10.0)["http"](
        "127.0.0.1", int(url.rsplit(":", 1)[1]), timeout=10.0
    ) as pool:
        response = pool.urlopen("GET", "/", preload_content=False)
        found = b"".join(iter(lambda: response.read(1 << 20, decode_content=False), b""))
    assert found == content

"""Decryption and decompression as a stream, bounded whatever comes in, and the check of the end."""

from __future__ import annotations

import gzip
import io
import os
import random
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from raven_backup_provider.core.encryption import EncryptionKey, Encryptor
from raven_backup_provider.core.errors import CorruptBackupError, EncryptionKeyError
from raven_backup_provider.core.layers import MAX_PIECE, EndCheck, StreamDecoder, decoded_chunks, is_zip
from raven_backup_provider.core.model import Compression

KEY = EncryptionKey(bytes(range(32)))


def backup_text(documents: int = 3000) -> bytes:
    """A decoded backup of prose-like documents."""
    dice = random.Random(7)
    words = [" ".join(f"{dice.getrandbits(20):x}" for _ in range(60)) for _ in range(documents)]
    rows = [f'{{"T":"{text}","@metadata":{{"@id":"a/{number}"}}}}' for number, text in enumerate(words)]
    return b'{"BuildVersion":71028,"Docs":[' + ",".join(rows).encode() + b'],"ReplicationHubCertificates":[]}'


TEXT = backup_text()


def ravendb_zstd(plain: bytes, level: int = 1) -> bytes:
    """As RavenDB writes it: one frame, flushed but never ended, without checksum."""
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=False).compressobj()
    middle = len(plain) // 2
    return (
        compressor.compress(plain[:middle])
        + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        + compressor.compress(plain[middle:])
        + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    )


def zstd_frame(plain: bytes, **options: bool) -> bytes:
    return zstandard.ZstdCompressor(level=3, **options).compress(plain)


SKIPPABLE = b"\x5a\x2a\x4d\x18" + (1000).to_bytes(4, "little") + bytes(1000)

FILES = {
    "zstd, unterminated": (ravendb_zstd(TEXT), TEXT, Compression.ZSTD),
    "zstd, unterminated, high level": (ravendb_zstd(TEXT, 12), TEXT, Compression.ZSTD),
    "zstd, ended, checksum": (zstd_frame(TEXT, write_checksum=True), TEXT, Compression.ZSTD),
    "zstd, ended, no content size": (zstd_frame(TEXT, write_content_size=False), TEXT, Compression.ZSTD),
    "zstd, several frames": (
        zstd_frame(TEXT[:9], write_checksum=True) + SKIPPABLE + zstd_frame(TEXT[9:50_000]) + zstd_frame(b"")
        + SKIPPABLE[:4] + bytes(4) + ravendb_zstd(TEXT[50_000:]), TEXT, Compression.ZSTD,
    ),
    "zstd, incompressible": (ravendb_zstd(b"{" + os.urandom(700_000)), None, Compression.ZSTD),
    "gzip": (gzip.compress(TEXT, 1), TEXT, Compression.GZIP),
    "gzip, several members": (gzip.compress(TEXT[:10]) + gzip.compress(b"") + gzip.compress(TEXT[10:]), TEXT, Compression.GZIP),
    "plain": (TEXT, TEXT, Compression.NONE),
    "plain, tiny": (b"{}", b"{}", Compression.NONE),
}  # fmt: skip


def decode(stored: bytes, step: int, key: EncryptionKey | None = None) -> tuple[bytes, StreamDecoder]:
    decoder = StreamDecoder(key, name="x.ravendb-full-backup")
    parts = [decoder.update(stored[at : at + step]) for at in range(0, len(stored), step)]
    return b"".join([*parts, decoder.finish()]), decoder


def encrypted(plain: bytes) -> bytes:
    encryptor = Encryptor(KEY)
    return encryptor.update(plain) + encryptor.finish()


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("step", [997, 65_536, 1 << 22])
def test_every_form_that_ravendb_restores_is_decoded(form: str, step: int) -> None:
    stored, plain, compression = FILES[form]
    decoded, decoder = decode(stored, step)
    assert decoder.compression is compression
    if plain is not None:
        assert decoded == plain
    else:
        assert len(decoded) == 700_001


@pytest.mark.parametrize("form", FILES)
def test_every_form_is_decoded_below_its_encryption(form: str) -> None:
    stored, plain, compression = FILES[form]
    decoded, decoder = decode(encrypted(stored), 100_000, KEY)
    assert decoder.compression is compression
    assert decoded == (plain if plain is not None else decoded)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 50), st.sampled_from([ravendb_zstd, zstd_frame, gzip.compress]))
def test_content_in_pieces_of_a_few_bytes_comes_out_whole(content: bytes, step: int, compress) -> None:  # type: ignore[no-untyped-def]
    assert decode(compress(b"{" + content), step)[0] == b"{" + content


def test_a_file_is_read_in_pieces_of_at_most_one_mebibyte() -> None:
    plain = b"{" + bytes(5_000_000)
    for stored in (ravendb_zstd(plain), gzip.compress(plain), plain):
        pieces = list(decoded_chunks(io.BytesIO(stored), None, 300_000))
        assert b"".join(pieces) == plain
        assert max(map(len, pieces)) <= MAX_PIECE


@pytest.mark.parametrize("compress", [lambda data: zstandard.ZstdCompressor(level=19).compress(data), gzip.compress])
def test_a_decompression_bomb_takes_no_memory(compress) -> None:  # type: ignore[no-untyped-def]
    bomb = compress(bytes(200_000_000))
    assert len(bomb) < 250_000
    decoder = StreamDecoder()
    tracemalloc.start()
    try:
        total = sum(len(piece) for piece in decoder.pieces(bomb))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 200_000_000
    assert peak < 8 * MAX_PIECE


def test_the_smallest_blocks_that_expand_most_are_handed_out_in_bounded_pieces() -> None:
    rle_block = ((128 * 1024) << 3 | 1 << 1).to_bytes(3, "little") + b"\x00"
    bomb = b"\x28\xb5\x2f\xfd" + bytes([0x00, 0x58]) + rle_block * 2000  # 8 KB -> 250 MB
    sizes = [len(piece) for piece in StreamDecoder().pieces(bomb)]
    assert sum(sizes) == 2000 * 128 * 1024
    assert max(sizes) <= MAX_PIECE


@pytest.mark.parametrize("form", ["gzip", "gzip, several members", "zstd, ended, checksum"])
@pytest.mark.parametrize("where", [0.2, 0.5, 0.9])
def test_a_flipped_bit_in_a_checked_form_is_refused(form: str, where: float) -> None:
    stored = bytearray(FILES[form][0])
    stored[int(len(stored) * where)] ^= 0x04
    with pytest.raises(CorruptBackupError, match=r"x\.ravendb-full-backup"):
        decode(bytes(stored), 65_536)


@pytest.mark.parametrize("cut", [1, 5, 100, 20_000])
def test_gzip_that_does_not_end_is_refused(cut: int) -> None:
    with pytest.raises(CorruptBackupError, match="cut"):
        decode(gzip.compress(TEXT)[:-cut], 65_536)


@pytest.mark.parametrize("cut", [1, 5, 100, 20_000])
def test_zstd_cut_inside_a_block_is_refused(cut: int) -> None:
    with pytest.raises(CorruptBackupError, match="cut inside a zstd block"):
        decode(ravendb_zstd(TEXT)[:-cut], 65_536)


def test_zstd_with_garbage_behind_it_is_refused() -> None:
    with pytest.raises(CorruptBackupError, match="damaged"):
        decode(zstd_frame(TEXT) + b"garbage", 65_536)


def test_gzip_with_garbage_behind_it_is_refused() -> None:
    with pytest.raises(CorruptBackupError, match="damaged"):
        decode(gzip.compress(TEXT) + b"garbage", 65_536)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(CorruptBackupError, match="empty"):
        decode(b"", 1)


def test_a_snapshot_is_said_to_be_one() -> None:
    assert is_zip(b"PK\x03\x04rest")
    with pytest.raises(CorruptBackupError, match="snapshot"):
        decode(b"PK\x03\x04" + bytes(100), 100)


def test_an_encrypted_file_without_a_key_is_said_to_be_possibly_that() -> None:
    with pytest.raises(CorruptBackupError, match="encrypted"):
        decode(b"\x01" * 10_000, 10_000)


def test_a_wrong_key_is_a_key_error_and_not_damage() -> None:
    with pytest.raises(EncryptionKeyError):
        decode(encrypted(TEXT), 65_536, EncryptionKey.generate())


# --- the end ----------------------------------------------------------------------------------------------------


def check_end(decoded: bytes, step: int = 100_000) -> None:
    check = EndCheck(name="x.ravendb-full-backup")
    for at in range(0, len(decoded), step):
        check.update(decoded[at : at + step])
    check.finish()


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(
    "end",
    [
        b',"ReplicationHubCertificates":[]}',
        b',"ReplicationHubCertificates":[{"Name":"hub"}]}',
        b',"X":[]}\r\n',
        b',"X" : [ ] } ',
    ],
)
def test_a_whole_backup_passes_the_end_check(end: bytes, step: int) -> None:
    check_end(b'{"BuildVersion":1,"Docs":[{"a":1}]' + end, step)


@pytest.mark.parametrize(
    "decoded",
    [
        b"",
        b"{",
        b"[]",
        b'{"BuildVersion":71028,"Docs":[{"a":1,"@metadata":{"@id":"a/1"}}',  # cut behind a document
        b'{"BuildVersion":71028,"Docs":[{"a":1,"@metadata":{"@id":"a/1"}}]',
        b'{"BuildVersion":71028,"Docs":[{"a":1,"@metadata":{"@id":"a/1"}},',
        b'{"BuildVersion":71028,"Docs":[{"a":[1,2,3]}',  # cut behind a document that ends in an array of values
        b'{"BuildVersion":71028,"Docs":[],"Conflicts":[]',
        b'{"BuildVersion":71028}',
        b'x{"BuildVersion":71028,"X":[]}',
    ],
)
def test_a_stream_that_does_not_close_its_root_object_fails_the_end_check(decoded: bytes) -> None:
    with pytest.raises(CorruptBackupError):
        check_end(decoded)


def test_a_cut_at_any_byte_of_the_last_kilobyte_fails_the_end_check() -> None:
    for cut in range(1, 1000):
        with pytest.raises(CorruptBackupError):
            check_end(TEXT[:-cut])


@pytest.mark.parametrize("blocks", [1, 5, 20])
def test_an_encrypted_file_cut_exactly_between_two_blocks_decrypts_but_fails(blocks: int) -> None:
    """The encrypted layer has no end mark: only the compression or the end check can tell."""
    for stored in (TEXT, ravendb_zstd(TEXT), gzip.compress(TEXT)):
        cut = encrypted(stored)[: 24 + blocks * 4113]
        with pytest.raises(CorruptBackupError):
            check_end(decode(cut, 65_536, KEY)[0])


def test_a_zstd_file_cut_exactly_between_two_blocks_fails_the_end_check() -> None:
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    first_half = compressor.compress(TEXT[: len(TEXT) // 2]) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    decoded, _ = decode(first_half, 65_536)
    assert decoded == TEXT[: len(TEXT) // 2]
    with pytest.raises(CorruptBackupError, match="does not close"):
        check_end(decoded)

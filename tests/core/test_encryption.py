"""RavenDB's encrypted layer: the same bytes as plain libsodium calls make, and no silent damage."""

from __future__ import annotations

import base64
import os
import pickle
import random

import nacl.bindings as sodium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raven_backup_provider.core import secretstream
from raven_backup_provider.core.encryption import Decryptor, EncryptionKey, Encryptor
from raven_backup_provider.core.errors import CorruptBackupError, EncryptionKeyError
from raven_backup_provider.core.secretstream import FastStream, PlainStream

KEY = EncryptionKey(bytes(range(32)))
LENGTHS = [0, 1, 16, 17, 4095, 4096, 4097, 8192, 12_288, 256 * 4096 - 1, 256 * 4096, 256 * 4096 + 1, 700 * 4096 + 5]


def reference_encrypt(key: bytes, header: bytes, plain: bytes) -> bytes:
    """The format by its description: one libsodium call per 4096 bytes, tag 0, no end mark."""
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)  # the state of a stream with that header
    blocks = [plain[at : at + 4096] for at in range(0, len(plain), 4096)]
    return header + b"".join(
        sodium.crypto_secretstream_xchacha20poly1305_push(state, block, None, 0) for block in blocks
    )


def encrypt(plain: bytes, step: int | None = None, key: EncryptionKey = KEY) -> bytes:
    encryptor = Encryptor(key)
    step = step or len(plain) or 1
    parts = [encryptor.update(plain[at : at + step]) for at in range(0, len(plain), step)]
    return b"".join([*parts, encryptor.finish()])


def decrypt(sealed: bytes, step: int | None = None, key: EncryptionKey = KEY) -> bytes:
    decryptor = Decryptor(key, name="a.ravendb-encrypted-full-backup")
    step = step or len(sealed) or 1
    parts = [decryptor.update(sealed[at : at + step]) for at in range(0, len(sealed), step)]
    return b"".join([*parts, decryptor.finish()])


@pytest.fixture(params=[FastStream, PlainStream], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type:
    """Every test runs on both ways to call libsodium."""
    monkeypatch.setattr("raven_backup_provider.core.encryption.open_stream", request.param)
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("length", LENGTHS)
def test_an_encrypted_file_is_byte_for_byte_what_plain_libsodium_calls_make(length: int) -> None:
    plain = os.urandom(length)
    sealed = encrypt(plain)
    assert sealed == reference_encrypt(KEY.raw, sealed[:24], plain)
    assert len(sealed) == 24 + length + 17 * (-(-length // 4096))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("step", [None, 1000, 4096, 4113, 65_536])
def test_what_plain_libsodium_calls_made_is_decrypted_whatever_pieces_it_comes_in(
    length: int, step: int | None
) -> None:
    plain = os.urandom(length)
    sealed = reference_encrypt(KEY.raw, os.urandom(24), plain)
    assert decrypt(sealed, step) == plain


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=20_000), st.integers(1, 9000), st.integers(1, 9000))
def test_any_content_survives_in_pieces_of_any_size(plain: bytes, step_in: int, step_out: int) -> None:
    assert decrypt(encrypt(plain, step_in), step_out) == plain


def test_bytearrays_and_memoryviews_are_taken_as_well() -> None:
    encryptor = Encryptor(KEY)
    sealed = encryptor.update(bytearray(b"a" * 5000)) + encryptor.update(memoryview(b"b" * 5000)) + encryptor.finish()
    assert decrypt(sealed) == b"a" * 5000 + b"b" * 5000


def test_the_same_content_is_never_encrypted_to_the_same_bytes() -> None:
    assert encrypt(b"same")[24:] != encrypt(b"same")[24:]


def test_another_key_is_named_in_the_refusal() -> None:
    other = EncryptionKey.generate()
    decryptor = Decryptor(other, name="shop.ravendb-encrypted-full-backup", expected_key_id=KEY.key_id)
    with pytest.raises(EncryptionKeyError) as refusal:
        decryptor.update(encrypt(bytes(5000)))
    assert "shop.ravendb-encrypted-full-backup" in str(refusal.value)
    assert KEY.key_id in str(refusal.value)
    assert other.key_id in str(refusal.value)


@pytest.mark.parametrize(
    "plain_file", [b"\x28\xb5\x2f\xfd" + bytes(9000), b"\x1f\x8b\x08" + bytes(9000), b'{"BuildVersion"' + bytes(9000)]
)
def test_a_file_that_is_not_encrypted_is_said_to_be_so(plain_file: bytes) -> None:
    with pytest.raises(EncryptionKeyError, match="not encrypted"):
        decrypt(plain_file)


@pytest.mark.parametrize("block", [1, 255, 256, 257, 299])
@pytest.mark.parametrize("step", [None, 3000])
def test_a_flipped_bit_is_reported_with_the_byte_offset_of_its_block(block: int, step: int | None) -> None:
    sealed = bytearray(encrypt(os.urandom(300 * 4096)))
    start = 24 + block * 4113
    sealed[start + 2000] ^= 0x10
    with pytest.raises(CorruptBackupError, match=f"at byte {start} "):
        decrypt(bytes(sealed), step)


@pytest.mark.parametrize("flipped", [0, 23, 24, 40, 24 + 4112])
def test_damage_in_the_first_block_is_never_decrypted(flipped: int) -> None:
    sealed = bytearray(encrypt(os.urandom(9000)))
    sealed[flipped] ^= 1
    with pytest.raises(EncryptionKeyError, match="damaged at its start"):
        decrypt(bytes(sealed))


def test_swapped_and_repeated_blocks_are_noticed() -> None:
    sealed = encrypt(os.urandom(4 * 4096))
    blocks = [sealed[24 + n * 4113 : 24 + (n + 1) * 4113] for n in range(4)]
    for order in ([0, 2, 1, 3], [0, 1, 1, 2], [0, 1, 3]):
        with pytest.raises(CorruptBackupError):
            decrypt(sealed[:24] + b"".join(blocks[n] for n in order))


@pytest.mark.parametrize("length", [0, 10, 23])
def test_a_file_cut_inside_its_header_is_refused(length: int) -> None:
    with pytest.raises(CorruptBackupError, match="is cut"):
        decrypt(encrypt(bytes(100))[:length])


@pytest.mark.parametrize("kept", [24 + 4113 + 1, 24 + 4113 + 16, 24 + 4113 + 17, 24 + 4113 + 500])
def test_a_file_cut_inside_a_block_is_refused(kept: int) -> None:
    with pytest.raises(CorruptBackupError, match=f"at byte {24 + 4113} "):
        decrypt(encrypt(os.urandom(9000))[:kept])


def test_a_cut_exactly_between_blocks_cannot_be_seen_in_this_layer() -> None:
    plain = os.urandom(9000)
    assert decrypt(encrypt(plain)[: 24 + 4113]) == plain[:4096]


@pytest.mark.parametrize("step", [1, 100, 4095, 4096, 4097, 300_000, 1_048_576 + 4096, 3_000_001])
def test_pieces_handed_on_at_once_make_the_same_file(step: int) -> None:
    plain = random.Random(step).randbytes(20_000 if step < 4000 else 5_000_000)
    encryptor, written = Encryptor(KEY), bytearray()
    for at in range(0, len(plain), step):
        for piece in encryptor.pieces(plain[at : at + step]):
            written += piece
    written += encryptor.finish()
    assert len(written) == 24 + len(plain) + 17 * -(-len(plain) // 4096)
    assert decrypt(bytes(written)) == plain


def test_the_fast_way_is_taken_where_it_works() -> None:
    assert isinstance(secretstream.open_stream(KEY.raw), FastStream)


def test_the_plain_way_is_taken_where_the_private_module_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nacl._sodium.lib", object())
    stream = secretstream.open_stream(KEY.raw)
    assert isinstance(stream, PlainStream)
    monkeypatch.undo()
    assert FastStream(KEY.raw, stream.header).pull(memoryview(stream.push(memoryview(b"abc")))) == b"abc"


def test_a_key_is_read_from_base64_and_given_back() -> None:
    text = base64.b64encode(bytes(range(32))).decode()
    assert EncryptionKey.from_base64(f"  {text}\n") == KEY
    assert KEY.base64() == text
    assert EncryptionKey.generate() != EncryptionKey.generate()


@pytest.mark.parametrize("text", ["", "secret", "c2hvcnQ=", "!" * 44, base64.b64encode(bytes(33)).decode(), "ä" * 44])
def test_a_malformed_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(EncryptionKeyError) as refusal:
        EncryptionKey.from_base64(text)
    assert not text or text not in str(refusal.value)
    assert "32" in str(refusal.value)


def test_a_key_shows_itself_by_its_id_only() -> None:
    shown = f"{KEY!r} {KEY} {KEY.key_id}"
    assert KEY.base64() not in shown
    assert KEY.raw.hex()[:8] not in shown
    assert KEY.key_id == "00f6a1eac79a69fb"  # manifests carry it: it must never come out differently
    assert EncryptionKey.generate().key_id != KEY.key_id


def test_a_key_cannot_be_pickled_into_a_queue_or_database() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(KEY)

"""The tree hash of the vault service, against botocore's and against the values of its documentation's rule."""

from __future__ import annotations

import hashlib
import io
import os

import pytest
from botocore.utils import calculate_tree_hash

from raven_backup_provider.destinations.tree_hash import LEAF, TreeHash, joined, tree_hash


def test_up_to_one_mebibyte_it_is_the_sha256() -> None:
    for data in (b"", b"abc", bytes(LEAF)):
        assert tree_hash(data) == hashlib.sha256(data).hexdigest()


def test_a_value_computed_by_hand() -> None:
    a, b, c = (hashlib.sha256(bytes([n]) * size).digest() for n, size in ((1, LEAF), (2, LEAF), (3, 5)))
    pair = hashlib.sha256(a + b).digest()
    data = b"\x01" * LEAF + b"\x02" * LEAF + b"\x03" * 5
    assert tree_hash(data) == hashlib.sha256(pair + c).hexdigest()


@pytest.mark.parametrize("leaves", [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17])
@pytest.mark.parametrize("rest", [0, 1, LEAF - 1])
def test_any_length_gives_what_botocore_gives_however_it_is_cut(leaves: int, rest: int) -> None:
    data = os.urandom(LEAF) * leaves + os.urandom(rest)
    expected = calculate_tree_hash(io.BytesIO(data))
    whole = TreeHash()
    for at in range(0, len(data), 700_001):
        whole.update(data[at : at + 700_001])
    assert whole.hexdigest() == expected
    for part in (LEAF, 2 * LEAF, 4 * LEAF):
        assert joined(tree_hash(data[at : at + part]) for at in range(0, len(data), part)) == expected

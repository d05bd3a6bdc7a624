from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.receipts.merkle_tree import (
    EMPTY_ROOT,
    RightEdge,
    consistency_proof,
    extends,
    includes,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
)

INPUTS = (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)  # fmt: skip
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The reference trees of Certificate Transparency (RFC 6962 and 9162 hash alike), by size."""
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in INPUTS]

Tree = st.integers(1, 70).map(lambda n: [leaf_hash(str(i).encode()) for i in range(n)])


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(by_definition(leaves[:k]), by_definition(leaves[k:]))


def path_by_definition(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*path_by_definition(m, leaves[:k]), by_definition(leaves[k:])]
    return [*path_by_definition(m - k, leaves[k:]), by_definition(leaves[:k])]


def proof_by_definition(m: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 9162, 2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [by_definition(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*proof_by_definition(m, leaves[:k], whole), by_definition(leaves[k:])]
    return [*proof_by_definition(m - k, leaves[k:], False), by_definition(leaves[:k])]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_vectors(size: int) -> None:
    assert tree_root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_published_paths() -> None:
    """The inclusion proof of leaf 5 of 8, and the consistency proof from 3 to 7, of the same reference trees."""
    assert [h.hex() for h in inclusion_proof(5, LEAVES)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert extends(6, 8, consistency_proof(6, LEAVES), bytes.fromhex(ROOTS[5]), bytes.fromhex(ROOTS[7]))
    assert [h.hex() for h in consistency_proof(6, LEAVES)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_the_empty_tree() -> None:
    assert tree_root([]) == EMPTY_ROOT == by_definition([])
    with pytest.raises(ValueError):
        inclusion_proof(0, [])
    with pytest.raises(ValueError):
        consistency_proof(0, LEAVES)


@given(Tree)
def test_roots_and_proofs_are_those_of_the_definition(leaves: list[bytes]) -> None:
    root = tree_root(leaves)
    assert root == by_definition(leaves)
    for index, leaf in enumerate(leaves):
        path = inclusion_proof(index, leaves)
        assert path == path_by_definition(index, leaves)
        assert includes(leaf, index, len(leaves), path, root)
    for old in range(1, len(leaves) + 1):
        proof = consistency_proof(old, leaves)
        assert proof == proof_by_definition(old, leaves)
        assert extends(old, len(leaves), proof, tree_root(leaves[:old]), root)


@given(Tree, st.data())
def test_a_tree_grows_in_any_steps_to_the_same_edge(leaves: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(leaves)))
    before = RightEdge().grown(leaves[:cut])
    assert before.root == tree_root(leaves[:cut])
    assert before.grown(leaves[cut:]) == RightEdge().grown(leaves)


@given(Tree, st.data())
def test_what_was_changed_is_refused(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path, size = tree_root(leaves), inclusion_proof(index, leaves), len(leaves)
    assert not includes(leaf_hash(b"another"), index, size, path, root)
    assert not includes(leaves[index], index, size, [*path, root], root)
    other = data.draw(st.integers(-1, size + 2).filter(lambda i: i != index))
    assert not includes(leaves[index], other, size, path, root)
    for place in range(len(path)):
        changed = [*path[:place], leaf_hash(b"another"), *path[place + 1 :]]
        assert not includes(leaves[index], index, size, changed, root)
        assert not includes(leaves[index], index, size, path[:place] + path[place + 1 :], root)


@given(Tree, st.data())
def test_a_rewritten_beginning_is_refused(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    rewritten = data.draw(st.integers(0, old - 1))
    changed = [*leaves[:rewritten], leaf_hash(b"another"), *leaves[rewritten + 1 :]]
    before, after = tree_root(leaves[:old]), tree_root(changed)
    assert not extends(old, len(leaves), consistency_proof(old, changed), before, after)
    assert not extends(old, len(leaves), consistency_proof(old, leaves), before, after)


def test_sizes_without_a_proof() -> None:
    root = tree_root(LEAVES)
    assert extends(0, 8, [], EMPTY_ROOT, root) and not extends(0, 8, [root], EMPTY_ROOT, root)
    assert extends(8, 8, [], root, root) and not extends(8, 8, [root], root, root)
    assert not extends(9, 8, [], root, root)
    assert not extends(3, 8, [], tree_root(LEAVES[:3]), root)


def test_an_edge_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="complete subtrees"):
        RightEdge(3, (EMPTY_ROOT,))

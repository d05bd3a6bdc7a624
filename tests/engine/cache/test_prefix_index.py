from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.core import PAGE_TOKENS, KeptPage, KnownPrefix, PageKeys
from kvproxy.core.common_prefix import common_prefix
from kvproxy.engine.cache.page_key import page_key, root_key
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex

ROOT = root_key("test")
LONG = tuple(range(1, 3 * PAGE_TOKENS + 101))


def put(index: PrefixIndex, scope: str, tokens: Sequence[int]) -> list[Node]:
    """Add all pages of a prefix, as if they were on disk."""
    nodes: list[Node] = []
    for start in range(0, len(tokens), PAGE_TOKENS):
        parent = nodes[-1] if nodes else None
        node, _ = index.add(scope, parent, tuple(tokens[start : start + PAGE_TOKENS]))
        node.stored = True
        nodes.append(node)
    return nodes


@pytest.mark.parametrize("length", [1, 255, 256, 257, 511, 512, 513, 868])
def test_a_match_ends_at_the_first_other_token(length: int) -> None:
    index = PrefixIndex(ROOT)
    nodes = put(index, "a", LONG)
    match = index.match((*LONG[:length], 0, 0), ["a"], length + 2)
    assert match.tokens == length
    assert list(match.nodes) == nodes[: -(-length // PAGE_TOKENS)]
    assert index.check() == []


def test_the_limit_cuts_a_match_to_the_token() -> None:
    index = PrefixIndex(ROOT)
    put(index, "a", LONG)
    assert [index.match(LONG, ["a"], n).tokens for n in (0, 1, 256, 257, 867)] == [0, 1, 256, 257, 867]


def test_the_longest_of_several_partial_pages_is_taken() -> None:
    index = PrefixIndex(ROOT)
    put(index, "a", LONG[:300])
    longest = put(index, "a", (*LONG[:380], 0))[-1]
    put(index, "a", LONG[:350])
    match = index.match(LONG, ["a"], len(LONG))
    assert match.tokens == 380 and match.nodes[-1] is longest


def test_a_resident_page_is_preferred_to_one_on_disk() -> None:
    index = PrefixIndex(ROOT)
    (stored,) = put(index, "public", LONG[:100])
    (resident,) = put(index, "a", LONG[:100])
    resident.page = 7
    assert index.match(LONG, ["public", "a"], 200).nodes == (resident,)
    stored.page = 8
    assert index.match(LONG, ["public", "a"], 200).nodes == (stored,)


def test_no_scope_sees_another() -> None:
    index = PrefixIndex(ROOT)
    put(index, "a", LONG)
    put(index, "public", LONG[:400])
    assert index.match(LONG, ["public", "b"], 900).tokens == 400
    assert index.match(LONG, ["b"], 900).tokens == 0
    assert index.match(LONG, ["public", "a"], 900).tokens == 868


def test_a_tenants_page_may_hang_below_a_public_one() -> None:
    index = PrefixIndex(ROOT)
    public = put(index, "public", LONG[:PAGE_TOKENS])[0]
    index.add("a", public, LONG[PAGE_TOKENS : 2 * PAGE_TOKENS])[0].stored = True
    assert index.match(LONG, ["public", "a"], 900).tokens == 512
    assert index.match(LONG, ["public", "b"], 900).tokens == 256
    assert index.match(LONG, ["a"], 900).tokens == 0, "the first page is not the tenant's"


def test_adding_twice_gives_the_same_node() -> None:
    index = PrefixIndex(ROOT)
    first, made = index.add("a", None, LONG[:10])
    first.stored = True
    assert made and index.add("a", None, LONG[:10]) == (first, False)
    assert index.find("a", ROOT, page_key(ROOT, LONG[:10]), LONG[:10]) is first
    assert index.find("b", ROOT, page_key(ROOT, LONG[:10]), LONG[:10]) is None
    assert len(index) == 1


def test_colliding_keys_never_serve_another_prefix() -> None:
    """With a key function under which everything collides, every hit must still be confirmed by tokens."""
    index = PrefixIndex(ROOT, key_of=lambda parent, tokens: b"same" * 8)
    one = tuple(range(1, 2 * PAGE_TOKENS + 1))
    two = (*range(1001, 1001 + PAGE_TOKENS), *one[PAGE_TOKENS:])
    put(index, "a", one)
    assert index.match(two, ["a"], 600).tokens == 0
    put(index, "a", two[:PAGE_TOKENS])
    assert index.match(two, ["a"], 600).tokens == PAGE_TOKENS, "its second page hangs below other tokens"
    put(index, "a", two)
    for asked in (one, two):
        # A collision may shorten a match, and nothing worse.
        at = 0
        for node in index.match(asked, ["a"], 600).nodes:
            assert asked[at : at + len(node.token_ids)] == node.token_ids
            above = node.parent
            assert (above is None) == (at == 0)
            assert above is None or above.token_ids == asked[:at]
            at += len(node.token_ids)
        assert at >= PAGE_TOKENS


def test_removing_one_of_two_colliding_nodes_leaves_the_other() -> None:
    index = PrefixIndex(ROOT, key_of=lambda parent, tokens: b"same" * 8)
    (one,) = put(index, "a", range(1, PAGE_TOKENS + 1))
    (two,) = put(index, "a", range(2, PAGE_TOKENS + 2))
    index.remove(one)
    assert index.match(range(2, PAGE_TOKENS + 2), ["a"], PAGE_TOKENS).nodes == (two,)


def test_an_evicted_prompt_is_remembered_as_seen() -> None:
    index = PrefixIndex(ROOT)
    (node,) = put(index, "a", LONG[:PAGE_TOKENS])
    assert not index.seen(LONG, ["a"])
    index.remove(node)
    assert index.seen(LONG, ["public", "a"])
    assert not index.seen(LONG, ["public", "b"])
    put(index, "a", LONG[:PAGE_TOKENS])
    assert not index.seen(LONG, ["a"])


def test_check_names_every_kind_of_fault() -> None:
    index = PrefixIndex(ROOT)
    full, tail = put(index, "a", LONG[:300])
    assert index.check() == []
    tail.stored = False
    assert "neither in memory nor on disk" in index.check()[0]
    tail.stored = True
    tail.retained = -1
    assert "is retained -1 times" in index.check()[0]
    tail.retained = 0
    full.token_ids = full.token_ids[:-1]
    assert len(index.check()) == 2


def test_keys_depend_on_everything_before_them() -> None:
    assert page_key(ROOT, [1, 2]) != page_key(ROOT, [2, 1])
    assert page_key(ROOT, [1]) != page_key(root_key("other"), [1])
    assert page_key(ROOT, [1, 2]) != page_key(page_key(ROOT, [1]), [2])
    assert len(page_key(ROOT, [2**32 - 1])) == 32


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_a_match_is_the_longest_shared_start_of_all_that_may_be_read(seed: int) -> None:
    source = random.Random(seed)
    base = tuple(source.randrange(1, 50) for _ in range(700))
    index = PrefixIndex(ROOT)
    kept: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(8):
        tokens = (*base[: source.randrange(1, 700)], *(source.randrange(50, 99) for _ in range(3)))
        scope = source.choice(["public", "a", "b"])
        put(index, scope, tokens)
        kept.append((scope, tokens))
    asked = (*base[: source.randrange(1, 700)], 1000)
    match = index.match(asked, ["public", "a"], len(asked))
    at = 0
    for node in match.nodes:
        assert node.scope in ("public", "a")
        assert node.token_ids[: match.tokens - at] == asked[at : min(at + PAGE_TOKENS, match.tokens)]
        at += PAGE_TOKENS
    # Scopes may take turns only at page borders, so a match is at least as long as in any one scope.
    assert match.tokens >= max((common_prefix(t, asked) for s, t in kept if s != "b"), default=0)


class TestResident:
    """`PrefixIndex.resident`, for figures, counts the tokens that a lookup finds."""

    TOKENS = tuple(range(1, 3 * PAGE_TOKENS + 41))

    def kept(self, index: PrefixIndex) -> tuple[KeptPage, ...]:
        pages: list[KeptPage] = []
        key = index.root
        for start in range(0, len(self.TOKENS), PAGE_TOKENS):
            part = self.TOKENS[start : start + PAGE_TOKENS]
            key = page_key(key, part)
            pages.append(KeptPage(key, len(part)))
        return tuple(pages)

    @pytest.mark.parametrize("pages", range(5))
    @pytest.mark.parametrize("scope", ["public", "a", "b"])
    def test_as_many_tokens_as_a_lookup_finds(self, pages: int, scope: str) -> None:
        index = PrefixIndex(b"root")
        node: Node | None = None
        for start in range(0, min(pages, 4) * PAGE_TOKENS, PAGE_TOKENS):
            node, _ = index.add(scope, node, self.TOKENS[start : start + PAGE_TOKENS])
            node.stored = True
        if node is None or node.full:  # another prompt's page begins as the next one does
            at = 0 if node is None else (node.index + 1) * PAGE_TOKENS
            index.add(scope, node, (*self.TOKENS[at : at + 9], 0, 0))
        scopes = ("public", "a")
        found = index.match(self.TOKENS, scopes, len(self.TOKENS))
        assert index.resident(self.kept(index), self.TOKENS, scopes) == found.tokens
        assert (found.tokens == 0) == (scope == "b")

    def test_full_pages_are_found_without_comparing_token_ids(self) -> None:
        class Uncompared(int):
            def __eq__(self, other: object) -> bool:
                raise AssertionError("a token id was compared")

            __hash__ = int.__hash__

        index = PrefixIndex(b"root")
        node: Node | None = None
        for start in range(0, 3 * PAGE_TOKENS, PAGE_TOKENS):
            node, _ = index.add("a", node, tuple(map(Uncompared, self.TOKENS[start : start + PAGE_TOKENS])))
        kept = self.kept(index)[:3]
        assert index.resident(kept, tuple(map(Uncompared, self.TOKENS[: 3 * PAGE_TOKENS])), ("a",)) == 768


def test_a_known_prefix_is_hashed_and_compared_once() -> None:
    hashed: list[int] = []

    def counted(parent: bytes, tokens: Sequence[int]) -> bytes:
        hashed.append(len(tokens))
        return page_key(parent, tokens)

    index = PrefixIndex(ROOT, key_of=counted)
    nodes = put(index, "public", LONG)
    known = KnownPrefix(len(LONG), PageKeys())
    asked = (*LONG, 7, 8, 9)
    short = index.match(asked[:300], ["public"], 300, known=known)
    assert short.tokens == 300, "keys of a part of it are not kept for the whole"
    hashed.clear()
    for times in (3, 0):
        assert index.match(asked, ["public", "a"], len(asked), known=known).nodes == tuple(nodes)
        assert len(hashed) == times
        hashed.clear()
    assert [node.confirmed is known.keys for node in nodes] == [True] * 3 + [False]
    assert index.match(asked, ["a"], len(asked), known=known).tokens == 0, "no scope sees another"
    assert index.match(asked, ["public"], 300, known=known).tokens == 300


@settings(max_examples=60, deadline=None)
@given(
    collide=st.booleans(),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "drop", "other"]), st.sampled_from(["public", "a"]), st.integers(1, 4)
        ),
        max_size=12,
    ),
    limit=st.integers(0, len(LONG) + 3),
)
def test_a_known_prefix_matches_as_any_other(
    collide: bool, steps: list[tuple[str, str, int]], limit: int
) -> None:
    """Whatever comes and goes in between, and even where all keys are the same."""
    index = PrefixIndex(ROOT, key_of=(lambda parent, tokens: b"same" * 8) if collide else page_key)
    known = KnownPrefix(len(LONG), PageKeys())
    asked = (*LONG, 7, 8, 9)
    for step, scope, pages in steps:
        if step == "drop":
            leaves = [node for node in index if not node.children]
            if leaves:
                index.remove(max(leaves, key=lambda node: (node.index, node.scope)))
        else:
            first = LONG[:PAGE_TOKENS] if step == "add" else (99, *LONG[1:PAGE_TOKENS])
            put(index, scope, (*first, *LONG[PAGE_TOKENS : pages * PAGE_TOKENS]))
        with_it = index.match(asked, ["public", "a"], limit, known=known)
        tokens = [token for node in with_it.nodes for token in node.token_ids]
        assert tuple(tokens[: with_it.tokens]) == asked[: with_it.tokens]
        assert with_it.tokens == index.match(asked, ["public", "a"], limit).tokens or collide

"""`KVCache` under every sequence of events: its counts are right after each step, and reservations are kept.

Each page that comes back from memory, the store or the spill tier has the bytes that were computed.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from functools import lru_cache

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache, PinOutcome, pages_for
from kvproxy.engine.cache.page_costs import PageCosts, PageWork
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex, PrefixMatch
from kvproxy.store.page_results import Loaded
from tests.engine.spill_files import MemoryFiles

SHAPE = PageShape(layers=1, kv_heads=1, head_dim=1, dtype=torch.float32)
PAGES = 9
BASE = tuple(range(1, 4 * PAGE_TOKENS + 1))
LENGTHS = (30, PAGE_TOKENS, PAGE_TOKENS + 40, 2 * PAGE_TOKENS + 10, 4 * PAGE_TOKENS)
prefixes = st.builds(
    lambda branch, at, length: (*BASE[:at], *(x + 10_000 * branch for x in BASE[at:]))[:length],
    st.integers(1, 2),
    st.sampled_from([0, 20, PAGE_TOKENS, 2 * PAGE_TOKENS]),
    st.sampled_from(LENGTHS),
)
scopes = st.sampled_from(["public", "a", "b"])
shares = st.sampled_from([0.4, 0.8, 1.0])
some = st.integers(0, 11)


@lru_cache(4096)
def content(tokens: tuple[int, ...]) -> bytes:
    """Return a page's content for a prefix: one float for each position, from all tokens up to it."""
    first = (len(tokens) - 1) // PAGE_TOKENS * PAGE_TOKENS
    rows = []
    for end in range(first + 1, first + PAGE_TOKENS + 1):
        if end <= len(tokens):
            digest = hashlib.sha256(repr((tokens[first:end], hash(tokens[:first]))).encode()).digest()
            rows.append(digest[:4])
        else:
            rows.append(bytes(4))
    return b"".join(rows) * 2


def prefix_of(node: Node) -> tuple[int, ...]:
    return (*prefix_of(node.parent), *node.token_ids) if node.parent is not None else node.token_ids


class CacheMachine(RuleBasedStateMachine):
    running = Bundle("running")
    pins = Bundle("pins")

    def __init__(self) -> None:
        super().__init__()
        self.files = MemoryFiles(4, SHAPE.bytes)
        costs = PageCosts(PageWork(linear=1e12, attention=1e11), SHAPE.bytes, spills=True)
        pool = PagePool(SHAPE, PAGES + 1, torch.device("cpu"))
        self.cache = KVCache(pool, PrefixIndex(root_key("machine")), costs)
        self.spill = self.cache.spill_into(self.files, self.files.calls.append)
        self.sequences: list[list[int]] = []
        self.on_disk: dict[bytes, bytes] = {}
        self.reserved = 0
        self.retained: list[ExitStack] = []

    def teardown(self) -> None:
        self.files.go.set()
        for pages in self.sequences:
            self.cache.return_pages(pages)
        for stack in self.retained:
            stack.close()
        self.spill.close()

    @rule(target=running, tokens=prefixes, scope=scopes)
    def serve(self, tokens: tuple[int, ...], scope: str) -> object:
        """Do as admission and the registrar do, in one go."""
        cache = self.cache
        match = cache.match(tokens, ("public", scope), len(tokens) - 1)
        whole = match.tokens // PAGE_TOKENS
        absent = [n for n in match.nodes if n.page is None]
        resident = sum(1 for n in match.nodes[:whole] if n.page is not None)
        need = pages_for(len(tokens)) - resident
        if match.tokens % PAGE_TOKENS and match.nodes[-1].page is None:
            need += 1
        if not cache.retain_and_reserve(match.nodes, need):
            return multiple()
        cache.note_use(match.nodes)
        for node in absent:
            need -= self._load(node)
        if any(n.page is None for n in match.nodes):  # lost on the way
            cache.unreserve(need)
            cache.release(match.nodes)
            return multiple()
        pages = self._attach(match)
        taken = len(pages) - whole
        chain = list(match.nodes[:whole])
        while len(pages) < pages_for(len(tokens)):
            pages.append(cache.take(pages[-1] if pages else None))
            taken += 1
        cache.release(match.nodes)
        cache.unreserve(need - taken)
        self.sequences.append(pages)
        for index in range(whole, len(pages)):
            end = min((index + 1) * PAGE_TOKENS, len(tokens))
            cache.pool.write(pages[index], content(tokens[:end]))
            part = tokens[index * PAGE_TOKENS : end]
            made = cache.register(scope, chain[-1] if chain else None, part, pages[index])
            if made is None:
                break
            chain.append(made)
        return pages

    def _load(self, node: Node) -> int:
        """Read a page back; return the number of reserved pages that this took."""
        if node.page is not None or not self.cache.index.has(node):
            return 0
        if node.stored:
            found = self.on_disk[node.key]
        else:
            result = self.spill.reader(node)(None)
            assert isinstance(result, Loaded)
            found = bytes(result.payload)
        page = self.cache.take(None)
        self.cache.pool.write(page, found)
        self.cache.attach_loaded(node, page)
        return 1

    def _attach(self, match: PrefixMatch) -> list[int]:
        pages: list[int] = []
        for i, node in enumerate(match.nodes):
            used = min(PAGE_TOKENS, match.tokens - i * PAGE_TOKENS)
            if used == PAGE_TOKENS:
                pages.append(self.cache.share(node))
            elif used:
                assert node.page is not None
                page = self.cache.take(None)
                self.cache.pool.copy_prefix(node.page, page, used)
                pages.append(page)
        return pages

    @rule(pages=consumes(running))
    def finish(self, pages: list[int]) -> None:
        self.sequences = [s for s in self.sequences if s is not pages]
        self.cache.return_pages(pages)

    @rule(share=st.floats(0, 1))
    def press(self, share: float) -> None:
        seen = self.cache.occupancy()
        wanted = int((seen.free + seen.evictable - self.reserved) * share)
        assert self.cache.reserve(wanted)
        self.cache.return_pages([self.cache.take(None) for _ in range(wanted)])

    @rule(share=shares)
    def reserve(self, share: float) -> None:
        """Reserve pages for a sequence that takes them later, with any other rules between."""
        seen = self.cache.occupancy()
        pages = int((seen.free + seen.evictable - self.reserved) * share)
        assert self.cache.reserve(pages)
        self.reserved += pages

    @rule(target=running, share=shares)
    def take_reserved(self, share: float) -> object:
        """Take reserved pages as a prompt grows: a take never fails. ``register_late`` may register them then."""
        count = int(self.reserved * share)
        pages = [self.cache.take(None) for _ in range(count)]
        self.reserved -= count
        self.sequences.append(pages)
        return pages

    @rule(pages=running, tokens=prefixes, scope=scopes)
    def register_late(self, pages: list[int], tokens: tuple[int, ...], scope: str) -> None:
        """Register a sequence's pages of a prefix that others have kept too: it took nothing from the cache."""
        if not any(pages is s for s in self.sequences) or len(pages) < pages_for(len(tokens)):
            return
        if any(n.page in pages for n in self.cache.index):
            return  # they are known for another prefix already
        chain: list[Node] = []
        for index in range(pages_for(len(tokens))):
            end = min((index + 1) * PAGE_TOKENS, len(tokens))
            if self.cache.pool.refs[pages[index]] > 1:
                return  # shared with another sequence
            self.cache.pool.write(pages[index], content(tokens[:end]))
            part = tokens[index * PAGE_TOKENS : end]
            made = self.cache.register(scope, chain[-1] if chain else None, part, pages[index])
            if made is None:
                return
            chain.append(made)

    @rule(which=some)
    def want_reserved_pages(self, which: int) -> None:
        """With all pages reserved, no other evictable page can be retained, and each reservation is redeemed."""
        chain = self._chain(which)
        seen = self.cache.occupancy()
        pages = seen.free + seen.evictable - self.reserved
        assert self.cache.reserve(pages)
        pinned = bool(chain) and self.cache.pin(chain, 3) is PinOutcome.PINNED
        retained = self.cache.retain(chain)
        tokens = prefix_of(chain[-1]) if chain else BASE
        with self.cache.retain_match(tokens, ("public", "a", "b")):
            self.cache.return_pages([self.cache.take(None) for _ in range(pages)])
        if retained:
            self.cache.release(chain)
        if pinned:
            self.cache.unpin(chain)

    @rule(share=shares)
    def unreserve(self, share: float) -> None:
        count = int(self.reserved * share)
        self.cache.unreserve(count)
        self.reserved -= count

    def _chain(self, which: int) -> tuple[Node, ...]:
        """Return one of the nodes and its ancestors; none where there are none."""
        nodes = sorted(self.cache.index, key=lambda n: (n.scope, prefix_of(n)))
        at = nodes[which % len(nodes)] if nodes else None
        chain: list[Node] = []
        while at is not None:
            chain.insert(0, at)
            at = at.parent
        return tuple(chain)

    @rule(which=some, more=st.booleans())
    def retain_for_a_while(self, which: int, more: bool) -> None:
        """Look up a prompt that begins with a page that is there, or ends in it."""
        chain = self._chain(which)
        if chain:
            tokens = (*prefix_of(chain[-1]), *([0] if more else []))
            stack = ExitStack()
            stack.enter_context(self.cache.retain_match(tokens, ("public", chain[-1].scope)))
            self.retained.append(stack)

    @rule()
    def let_go(self) -> None:
        if self.retained:
            self.retained.pop(0).close()

    @rule(which=some)
    def keep(self, which: int) -> None:
        """Retain as the page writer does, for nodes of any state."""
        nodes = self._chain(which)
        if self.cache.retain(nodes):
            stack = ExitStack()
            stack.callback(self.cache.release, nodes)
            self.retained.append(stack)

    @rule(tokens=prefixes)
    def publish(self, tokens: tuple[int, ...]) -> None:
        """Store the resident part of a prefix."""
        for node in self.cache.match(tokens, ("public",), len(tokens)).nodes:
            if node.page is None:
                break
            self.on_disk[node.key] = self.cache.pool.read(node.page)
            self.cache.mark_stored(node)

    @rule(tokens=prefixes, scope=scopes)
    def delete(self, tokens: tuple[int, ...], scope: str) -> None:
        nodes = self.cache.match(tokens, (scope,), len(tokens)).nodes
        if nodes:
            self.cache.discard(nodes[-1])

    @rule(target=pins, which=some)
    def pin(self, which: int) -> object:
        nodes = self._chain(which)
        pinned = nodes and self.cache.pin(nodes, 3) is PinOutcome.PINNED
        return nodes if pinned else multiple()

    @rule(nodes=consumes(pins))
    def unpin(self, nodes: tuple[Node, ...]) -> None:
        self.cache.unpin(nodes)

    @rule(good=st.booleans())
    def writes_end(self, good: bool) -> None:
        """Those that wait succeed, or the disk is full."""
        self.files.error = None if good else OSError("full")
        self.files.go.set()
        self.spill._writer.submit(lambda: None).result(10)
        self.files.pump()
        self.files.error = None
        self.spill.health._resumes_at = 0.0

    @rule()
    def writes_stall(self) -> None:
        self.files.go.clear()

    @invariant()
    def the_books_balance(self) -> None:
        assert self.cache.check(self.sequences) == []
        assert self.cache.pinned <= 3

    @invariant()
    def every_page_holds_what_its_node_says(self) -> None:
        for node in self.cache.index:
            if node.page is not None:
                size = len(node.token_ids) * 4
                want = content(prefix_of(node))
                found = self.cache.pool.read(node.page)
                half = SHAPE.bytes // 2
                assert found[:size] == want[:size] and found[half : half + size] == want[half : half + size]


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=80, stateful_step_count=25, deadline=None, derandomize=True)

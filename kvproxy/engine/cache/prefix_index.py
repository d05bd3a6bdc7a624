"""`PrefixIndex`: the token prefixes that have KV, by scope, in memory or on disk.

A tree of pages. A node is found by its page key and confirmed by comparing token ids. Scopes are separate name spaces
over one tree: a tenant's page may hang below a public one, and is seen by that tenant only. No I/O, no tensors, not
thread safe: the cache's lock guards it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from kvproxy.core import PAGE_TOKENS, KeptPage, KnownPrefix
from kvproxy.engine.cache.page_key import page_key
from kvproxy.engine.cache.prefix_node import Node
from kvproxy.engine.cache.siblings import Siblings

__all__ = ["Node", "PrefixIndex", "PrefixMatch"]

_REMEMBERED = 16_384
"""Number of forgotten pages that are remembered, so that a miss can say 'not-resident' and not 'never seen', and a page
that comes back is not taken for one that was never asked for. Some 250 bytes each."""


_AHEAD = 16
"""Pages to hash before the index is asked whether it has any of them."""


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """The result of a lookup: ``nodes`` cover ``tokens`` positions; only the last may be used in part."""

    nodes: tuple[Node, ...]
    tokens: int
    dearer: bool = False
    """Whether pages on disk were left out, since computing them again is cheaper than loading them."""


class PrefixIndex:
    """A tree of nodes by page key and scope."""

    def __init__(self, root: bytes, key_of: Callable[[bytes, Sequence[int]], bytes] = page_key) -> None:
        """Start empty, with the parent key of first pages.

        ``key_of`` may collide: a found node is confirmed by token ids, from the first page on.
        """
        self.root = root
        self._key_of = key_of
        self._full: dict[tuple[str, bytes], Node] = {}
        self._open: dict[tuple[str, bytes, int], Siblings[Node]] = {}
        self._all: set[Node] = set()
        self._evicted: OrderedDict[tuple[str, bytes], tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._all)

    def keys(
        self,
        token_ids: Sequence[int],
        scopes: Sequence[str],
        limit: int,
        known: KnownPrefix | None = None,
    ) -> list[bytes]:
        """Return the keys of the full pages of ``token_ids[:limit]``, to some way behind the last that there is.

        Hashing is most of a match's work, and this much of it needs no lock: a page that comes or goes meanwhile makes
        the list longer or shorter than it need be. ``known``: what the tokens begin with; its keys are computed once.

        Example: ``index.keys(token_ids, ("public",), limit=len(token_ids) - 1)``
        """
        end = limit - limit % PAGE_TOKENS
        whole = known is not None and known.tokens <= len(token_ids)
        keys = self._known_keys(token_ids, known)[: end // PAGE_TOKENS] if known is not None and whole else []
        key = keys[-1] if keys else self.root
        for start in range(len(keys) * PAGE_TOKENS, end, PAGE_TOKENS):
            if keys and len(keys) % _AHEAD == 0 and not any((scope, key) in self._full for scope in scopes):
                break
            key = self._key_of(key, token_ids[start : start + PAGE_TOKENS])
            keys.append(key)
        return keys

    def _known_keys(self, token_ids: Sequence[int], known: KnownPrefix) -> list[bytes]:
        def chain() -> tuple[bytes, ...]:
            starts = range(0, known.tokens - known.tokens % PAGE_TOKENS, PAGE_TOKENS)
            pages = (token_ids[start : start + PAGE_TOKENS] for start in starts)
            return tuple(accumulate(pages, self._key_of, initial=self.root))[1:]

        return list(known.keys.of(self.root, chain))

    def match(
        self,
        token_ids: Sequence[int],
        scopes: Sequence[str],
        limit: int,
        keys: Sequence[bytes] | None = None,
        known: KnownPrefix | None = None,
    ) -> PrefixMatch:
        """Return the longest prefix of ``token_ids[:limit]`` that ``scopes`` may read, to the token.

        ``keys``: those of :meth:`keys`, where they were computed already. ``known``: what the tokens begin with; a page
        that was found equal to its tokens once is not compared again.

        Example: ``index.match(token_ids, ("public",), limit=len(token_ids) - 1)``
        """
        keys = self.keys(token_ids, scopes, limit, known) if keys is None else keys
        nodes = [] if known is None else self._known_nodes(token_ids, scopes, keys, known)
        key, done = (nodes[-1].key if nodes else self.root), len(nodes) * PAGE_TOKENS
        while done < limit:
            want = tuple(token_ids[done : done + PAGE_TOKENS])
            before = nodes[-1] if nodes else None
            node = self._find_full(keys[len(nodes)], want, scopes, before) if len(nodes) < len(keys) else None
            if node is None:
                node, taken = self._find_partial(key, want[: limit - done], scopes, before)
                if node is not None:
                    nodes.append(node)
                    done += taken
                break
            nodes.append(node)
            key, done = node.key, done + PAGE_TOKENS
        return PrefixMatch(tuple(nodes), done)

    def _known_nodes(
        self, token_ids: Sequence[int], scopes: Sequence[str], keys: Sequence[bytes], known: KnownPrefix
    ) -> list[Node]:
        """Return the nodes of the leading full pages of a published prefix.

        Token ids of neither side ever change, so a comparison holds for as long as the two are there.
        """
        nodes: list[Node] = []
        full, above = self._full, None
        for start, key in zip(range(0, known.tokens - PAGE_TOKENS + 1, PAGE_TOKENS), keys, strict=False):
            for scope in scopes:
                node = full.get((scope, key))
                if node is not None and node.confirmed is known.keys and node.parent is above:
                    break
            else:
                node = self._find_full(key, tuple(token_ids[start : start + PAGE_TOKENS]), scopes, above)
                if node is None:
                    break
                node.confirmed = known.keys
            nodes.append(node)
            above = node
        return nodes

    def resident(self, pages: Sequence[KeptPage], token_ids: Sequence[int], scopes: Sequence[str]) -> int:
        """Count the leading tokens of a chain of pages that ``scopes`` may read.

        Example: ``index.resident(kept.pages, kept.token_ids, ("public",))``
        """
        return sum(tokens for _, tokens in self.chain(pages, token_ids, scopes))

    def chain(
        self, pages: Sequence[KeptPage], token_ids: Sequence[int], scopes: Sequence[str]
    ) -> list[tuple[Node, int]]:
        """Return the leading nodes of a chain of pages that ``scopes`` may read, with the tokens that each gives.

        Full pages are looked up by key, and no token ids compared but those of the page behind them.

        Example: ``index.chain(kept.pages, kept.token_ids, ("public",))``
        """
        found: list[tuple[Node, int]] = []
        full = self._full
        for page in pages:
            following = None
            for scope in scopes:
                following = full.get((scope, page.key))
                if following is not None:
                    break
            if following is None:  # A partial page is never among the full ones.
                break
            found.append((following, PAGE_TOKENS))
        node, done = found[-1][0] if found else None, PAGE_TOKENS * len(found)
        key = self.root if node is None else node.key
        last, tokens = self._find_partial(key, tuple(token_ids[done : done + PAGE_TOKENS]), scopes, node)
        if last is not None:
            found.append((last, tokens))
        return found

    def _find_full(
        self, key: bytes, want: tuple[int, ...], scopes: Sequence[str], before: Node | None
    ) -> Node | None:
        for scope in scopes:
            node = self._full.get((scope, key))
            if node is not None and node.token_ids == want and _same_prefix(node.parent, before):
                return node
        return None

    def _find_partial(
        self, parent_key: bytes, want: tuple[int, ...], scopes: Sequence[str], before: Node | None
    ) -> tuple[Node | None, int]:
        """Return the child that shares the most leading tokens with ``want``, and their number."""
        best, most = None, 0
        if not want:
            return best, most
        for scope in scopes:
            siblings = self._open.get((scope, parent_key, want[0]))
            if siblings is not None:
                node, shared = siblings.closest(want, lambda n: _same_prefix(n.parent, before))
                if shared > most or (shared == most and best is not None and best.page is None):
                    best, most = node, shared
        return best, most

    def seen(self, token_ids: Sequence[int], scopes: Sequence[str]) -> bool:
        """Return whether the first page of this prompt was kept once and has been evicted since."""
        key = self._key_of(self.root, tuple(token_ids[:PAGE_TOKENS]))
        return any((scope, key) in self._evicted for scope in scopes)

    def add(self, scope: str, parent: Node | None, token_ids: tuple[int, ...]) -> tuple[Node, bool]:
        """Return the node for this page, made if absent; True when it was made.

        Example: ``node, made = index.add("public", None, tuple(token_ids[:256]))``
        """
        parent_key = self.root if parent is None else parent.key
        key = self._key_of(parent_key, token_ids)
        siblings = self._open.setdefault((scope, parent_key, token_ids[0]), Siblings())
        for existing in siblings.equal(token_ids):
            if _same_prefix(existing.parent, parent):
                return existing, False
        node = Node(scope, key, parent_key, parent, 0 if parent is None else parent.index + 1, token_ids)
        self._all.add(node)
        if parent is not None:
            parent.children.add(node)
        if node.full:
            self._full[scope, key] = node
        siblings.add(node)
        node.frequency, node.counted_at = self._evicted.pop((scope, key), (0.0, 0))
        return node, True

    def find(self, scope: str, parent_key: bytes, key: bytes, token_ids: tuple[int, ...]) -> Node | None:
        """Return the node of exactly this page, or None.

        Example: ``index.find("public", index.root, kept.pages[0].key, kept.token_ids[:256])``
        """
        siblings = self._open.get((scope, parent_key, token_ids[0]), Siblings())
        return next((node for node in siblings.equal(token_ids) if node.key == key), None)

    def has(self, node: Node) -> bool:
        """Return whether the node is in the tree."""
        return node in self._all

    def shorter(self, node: Node) -> list[Node]:
        """Return nodes of the same scope and parent with token ids that begin those of ``node``."""
        return self._open[node.scope, node.parent_key, node.token_ids[0]].prefixes(node.token_ids)

    def remove(self, node: Node) -> None:
        """Take out a leaf. Removing the holder of its page, if any, is the caller's."""
        assert not node.children, "a node with children cannot be removed: they would become unreachable"
        self._all.discard(node)
        if node.parent is not None:
            node.parent.children.discard(node)
        if node.full:
            if self._full.get((node.scope, node.key)) is node:
                del self._full[node.scope, node.key]
        where = (node.scope, node.parent_key, node.token_ids[0])
        siblings = self._open[where]
        siblings.remove(node)
        if not siblings:
            del self._open[where]
        self._evicted[node.scope, node.key] = node.frequency, node.counted_at
        while len(self._evicted) > _REMEMBERED:
            self._evicted.popitem(last=False)

    def check(self) -> list[str]:
        """Return every fault of the tree in words."""
        faults = []
        for node in self._all:
            if node.page is None and not node.stored and not node.spilled:
                faults.append(f"node {node.key.hex()[:12]} is neither in memory nor on disk")
            if node.parent is not None and node.parent not in self._all:
                faults.append(f"node {node.key.hex()[:12]} is the child of a removed node")
            if node.parent is not None and not node.parent.full:
                faults.append(f"node {node.key.hex()[:12]} is the child of a partial page")
            if node.key != self._key_of(node.parent_key, node.token_ids):
                faults.append(f"node {node.key.hex()[:12]} has another key than its tokens give")
            if node.retained < 0:
                faults.append(f"node {node.key.hex()[:12]} is retained {node.retained} times")
        return faults


def _same_prefix(a: Node | None, b: Node | None) -> bool:
    """Return whether two nodes end the same tokens. Most often it is one and the same node."""
    while a is not b:
        if a is None or b is None or a.token_ids != b.token_ids:
            return False
        a, b = a.parent, b.parent
    return True

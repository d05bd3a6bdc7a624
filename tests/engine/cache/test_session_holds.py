from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.session_holds import HeldPages, SessionHold, SessionHolds
from tests.engine.cache.small_cache import TOKENS, keep, make_cache, take

MANY = 100


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def clocked(cache: KVCache) -> Clock:
    """Give the cache's holds a clock of the test's."""
    clock = Clock()
    cache._holds._clock = clock
    return clock


def wish(seconds: float, session: str = "s", tenant: str = "a", most: int = MANY) -> SessionHold:
    return SessionHold(tenant, tenant, session, seconds, most)


def other(number: int, pages: int = 1) -> tuple[int, ...]:
    return tuple(range(number * 10_000, number * 10_000 + pages * PAGE_TOKENS))


def known(cache: KVCache, tokens: tuple[int, ...], scope: str = "a") -> int:
    return cache.match(tokens, [scope], len(tokens)).tokens


def test_a_held_page_gives_way_after_all_others() -> None:
    cache = make_cache(4)
    clocked(cache)
    nodes = keep(cache, TOKENS[: 2 * PAGE_TOKENS])
    assert cache.hold_session(wish(300), nodes) == HeldPages(2, 2)
    for number in range(5, 9):
        cache.return_pages(take(cache, 1))
        keep(cache, other(number), "b")
    assert known(cache, TOKENS[: 2 * PAGE_TOKENS]) == 2 * PAGE_TOKENS
    assert cache.check([]) == []


def test_a_hold_never_stands_in_the_way_of_a_reservation() -> None:
    cache = make_cache(4)
    clocked(cache)
    cache.hold_session(wish(300), keep(cache, TOKENS))
    pages = take(cache, 4)
    assert len(pages) == 4 and known(cache, TOKENS) == 0
    assert len(cache._holds) == 0 and cache.check([pages]) == []


def test_a_hold_ends_with_its_time_and_with_its_session() -> None:
    for end in ("time", "session"):
        cache = make_cache(3)
        clock = clocked(cache)
        held = keep(cache, TOKENS[:PAGE_TOKENS])
        cache.hold_session(wish(60), held)
        keep(cache, other(5), "b")
        keep(cache, other(6), "b")
        if end == "time":
            clock.now = 60.0
        else:
            assert cache.hold_session(wish(0), []) == HeldPages(0, 0, 1)
        cache.return_pages(take(cache, 1))
        assert known(cache, TOKENS[:PAGE_TOKENS]) == 0, "the oldest goes first again"
        assert cache.check([]) == []


def test_a_tenant_holds_no_more_than_its_part_and_the_first_pages_of_it() -> None:
    cache = make_cache(8)
    clocked(cache)
    assert cache.hold_session(wish(60, most=3), keep(cache, TOKENS)) == HeldPages(4, 3)
    assert cache.hold_session(wish(60, "t", most=3), keep(cache, other(7))) == HeldPages(1, 0)
    theirs = SessionHold("b", "b", "s", 60, 3)
    assert cache.hold_session(theirs, keep(cache, other(8), "b")) == HeldPages(1, 1), "another tenant's part"
    assert cache.hold_session(wish(0), []).released == 3
    assert cache.hold_session(wish(60, "t", most=3), keep(cache, other(7))) == HeldPages(1, 1)


def test_only_the_pages_of_the_sessions_own_scope_are_held() -> None:
    cache = make_cache(4)
    clocked(cache)
    document = keep(cache, TOKENS[:PAGE_TOKENS], "public")
    own = keep(cache, other(5), "a")
    assert cache.hold_session(wish(60), [*document, *own]) == HeldPages(1, 1)
    assert not document[0].held and own[0].held


def test_a_page_that_two_sessions_hold_stays_until_both_have_let_go() -> None:
    cache = make_cache(4)
    clock = clocked(cache)
    nodes = keep(cache, TOKENS[:PAGE_TOKENS])
    cache.hold_session(wish(60, "s"), nodes)
    cache.hold_session(wish(120, "t"), nodes)
    assert cache.hold_session(wish(0, "s"), []).released == 0 and nodes[0].held
    clock.now = 119.0
    cache.hold_session(wish(0, "none"), [])
    assert nodes[0].held
    clock.now = 120.0
    cache.hold_session(wish(0, "none"), [])
    assert not nodes[0].held


def test_another_scope_cannot_release_a_session() -> None:
    cache = make_cache(4)
    clocked(cache)
    nodes = keep(cache, TOKENS[:PAGE_TOKENS])
    cache.hold_session(wish(60), nodes)
    assert cache.hold_session(SessionHold("b", "b", "s", 0, MANY), []).released == 0
    assert cache.hold_session(SessionHold("a", "a#salt", "s", 0, MANY), []).released == 0
    assert nodes[0].held


def test_a_longer_page_takes_the_hold_over() -> None:
    cache = make_cache(4)
    clocked(cache)
    (short,) = keep(cache, TOKENS[:100])
    cache.hold_session(wish(60), [short])
    (longer,) = keep(cache, TOKENS[:200])
    assert longer.held and cache._holds.pages("a") == 1 and cache.check([]) == []


def test_a_clock_that_jumps_ahead_ends_holds_and_one_that_stands_still_keeps_them() -> None:
    cache = make_cache(4)
    clock = clocked(cache)
    nodes = keep(cache, TOKENS[:PAGE_TOKENS])
    cache.hold_session(wish(60), nodes)
    for now in (0.0, -1e9):
        clock.now = now
        cache.hold_session(wish(0, "none"), [])
        assert nodes[0].held
    clock.now = 1e9
    cache.hold_session(wish(0, "none"), [])
    assert not nodes[0].held and cache.check([]) == []


class Holding(RuleBasedStateMachine):
    """Sessions of two tenants hold, release and expire beside evictions; counts and order stay right."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = make_cache(6)
        self.clock = clocked(self.cache)

    @rule(
        number=st.integers(0, 9),
        pages=st.integers(1, 3),
        tenant=st.sampled_from("ab"),
        session=st.sampled_from("st"),
        seconds=st.sampled_from([0.0, 5.0, 50.0]),
    )
    def request(self, number: int, pages: int, tenant: str, session: str, seconds: float) -> None:
        nodes = keep(self.cache, other(number, pages), tenant)
        found = self.cache.hold_session(SessionHold(tenant, tenant, session, seconds, 4), nodes)
        assert found.held <= found.asked <= pages

    @rule(seconds=st.sampled_from([1.0, 10.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(count=st.integers(1, 6))
    def need(self, count: int) -> None:
        self.cache.return_pages(take(self.cache, count))

    @invariant()
    def sound(self) -> None:
        assert self.cache.check([]) == []
        assert all(self.cache._holds.pages(tenant) <= 4 for tenant in "ab")


TestHolding = Holding.TestCase
TestHolding.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_entries_that_were_replaced_are_left_out_in_the_end() -> None:
    cache = make_cache(4)
    clock = clocked(cache)
    nodes = keep(cache, TOKENS[:PAGE_TOKENS])
    for second in range(1000):
        clock.now = float(second)
        cache.hold_session(wish(60), nodes)
    assert isinstance(cache._holds, SessionHolds) and len(cache._holds._order) < 100

from __future__ import annotations

import pytest

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.eviction_policy import (
    FIRST_USE,
    TURNOVERS,
    FarthestNext,
    GreedyDual,
    LeastFrequent,
    LeastRecent,
)
from kvproxy.engine.cache.page_costs import UNIFORM, PageCosts, PageWork
from kvproxy.engine.cache.prefix_index import Node
from tests.engine.cache.test_page_costs import timed

POOL = 10


def make_node(index: int = 0, parent: Node | None = None, scope: str = "a") -> Node:
    node = Node(scope, bytes([index]) * 32, b"p" * 32, parent, index, (1,) * PAGE_TOKENS)
    node.page = index
    if parent is not None:
        parent.children.add(node)
        parent.resident_below += 1
    return node


def chain(length: int, policy: GreedyDual, uses: int = 1) -> list[Node]:
    nodes: list[Node] = []
    for index in range(length):
        nodes.append(make_node(index, nodes[-1] if nodes else None))
    for _ in range(uses):
        for node in nodes:
            policy.note_use(node)
    return nodes


def greedy(work: PageWork = UNIFORM) -> GreedyDual:
    return GreedyDual(PageCosts(work, 1), POOL)


def test_priority_is_clock_plus_frequency_times_cost() -> None:
    policy = greedy()
    (node,) = chain(1, policy)
    assert policy.priority(node) == pytest.approx(FIRST_USE)
    policy.note_use(node)
    policy.note_use(node)
    assert policy.priority(node) == pytest.approx(FIRST_USE + 2)


def test_what_is_not_used_again_is_overtaken_by_the_clock() -> None:
    policy = greedy()
    (popular,) = chain(1, policy, uses=5)
    value = policy.priority(popular)
    overtaken = False
    for _ in range(1000):
        (new,) = chain(1, policy, uses=2)
        new.priority = policy.priority(new)
        overtaken = new.priority > value
        if overtaken:
            break
        policy.note_eviction(new)
    assert overtaken


def test_old_uses_count_less() -> None:
    policy = greedy()
    (node,) = chain(1, policy, uses=3)
    before = node.frequency
    for _ in range(int(TURNOVERS * POOL)):
        policy.note_allocation()
    policy.note_use(node)
    assert node.frequency == pytest.approx(before / 2 + 1)


def test_the_clock_is_taken_when_the_last_reader_lets_go() -> None:
    policy = greedy()
    first, second = chain(1, policy)[0], chain(1, policy)[0]
    gone = make_node()
    gone.priority = 7.0
    policy.note_eviction(gone)
    policy.note_idle(second)
    assert policy.priority(second) == pytest.approx(policy.priority(first) + 7.0)


def test_a_chain_is_worth_its_mean_and_not_its_deepest_page() -> None:
    policy = greedy(PageWork(linear=1.0, attention=1.0))
    nodes = chain(9, policy)
    costs = [(1 + i + 0.5) / 1.5 for i in range(9)]
    assert policy.priority(nodes[-1]) == pytest.approx(FIRST_USE * sum(costs) / 9)


def test_a_chain_ends_where_another_branches_off_or_more_is_used() -> None:
    policy = greedy(PageWork(linear=1.0, attention=0.0))
    nodes = chain(4, policy)
    for node in nodes[:2]:
        for _ in range(4):
            policy.note_use(node)
    assert policy.priority(nodes[-1]) == pytest.approx(FIRST_USE), "what others use too raises no mean"
    other = make_node(2, nodes[1])
    policy.note_use(other)
    assert policy.priority(nodes[-1]) == pytest.approx(FIRST_USE)


def test_a_page_on_disk_costs_its_read() -> None:
    costs = PageCosts(PageWork(linear=1e12, attention=0.0), 1)
    policy = GreedyDual(costs, POOL)
    costs.computed(0, PAGE_TOKENS, 1.0)
    timed(costs, 0.25)
    kept, stored, spilled = (chain(1, policy)[0] for _ in range(3))
    stored.stored = spilled.spilled = True
    assert policy.priority(stored) == policy.priority(spilled) == pytest.approx(policy.priority(kept) / 4)


def test_the_usual_policies() -> None:
    recent, frequent = LeastRecent(), LeastFrequent()
    a, b = make_node(), make_node()
    for node in (a, b, b, a):
        recent.note_use(node)
    assert recent.priority(b) < recent.priority(a)
    a, b = make_node(), make_node()
    for node in (a, a, b):
        frequent.note_use(node)
    assert frequent.priority(b) < frequent.priority(a)
    frequent.note_use(b)
    assert frequent.priority(a) < frequent.priority(b), "of equals, the one used longer ago"


def test_belady_drops_what_is_needed_last_and_what_is_never_needed_first() -> None:
    policy = FarthestNext()
    soon, late, never = make_node(), make_node(), make_node(scope="question")
    policy.never = "question"
    for node, at in ((soon, 3.0), (late, 9.0), (never, 3.0)):
        policy.next_use = at
        policy.note_use(node)
    assert policy.priority(never) < policy.priority(late) < policy.priority(soon)

"""JSON in another order is the same data; a list of plain values has an order."""

from __future__ import annotations

from kvproxy.core.common_prefix import common_prefix
from kvproxy.explain.json_reordering import canonical, reordered_at


def reordered(one: str, two: str) -> bool:
    return reordered_at(one, two, common_prefix(one, two))


def test_keys_and_named_objects_have_no_order() -> None:
    assert reordered('x {"a": 1, "b": {"c": 2}} y', 'x {"b": {"c": 2}, "a": 1} y')
    assert reordered('[{"n": "a"}, {"n": "b"}]', '[{"n": "b"}, {"n": "a"}]')
    assert reordered('{"n": "a"}\n{"n": "b"}\n', '{"n": "b"}\n{"n": "a"}\n')


def test_other_values_are_no_other_order() -> None:
    assert not reordered("[1, 2]", "[2, 1]")
    assert not reordered('{"a": 1}', '{"a": 2}')
    assert not reordered('{"n": "a"}\n{"n": "b"}\n', '{"n": "b"}\n{"n": "c"}\n')
    assert not reordered("{" * 5000 + "a", "{" * 5000 + "b"), "no JSON, however deep"


def test_one_form_for_all_orders() -> None:
    assert canonical([{"b": 1, "a": [2, 1]}, {"a": 0}]) == canonical([{"a": 0}, {"a": [2, 1], "b": 1}])
    assert canonical([1, 2]) != canonical([2, 1])

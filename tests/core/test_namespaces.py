from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core.namespaces import namespace

PARTS = st.lists(st.text(max_size=5), max_size=4)


@given(PARTS, PARTS)
def test_no_two_lists_of_parts_share_a_namespace(first: list[str], second: list[str]) -> None:
    assert (namespace(b"s" * 32, *first) == namespace(b"s" * 32, *second)) == (first == second)


def test_another_secret_gives_another_namespace() -> None:
    assert namespace(b"s" * 32, "tenant", "key") != namespace(b"t" * 32, "tenant", "key")
    assert namespace(b"s" * 32, "tenant", "key") == namespace(b"s" * 32, "tenant", "key")


def test_half_a_surrogate_pair_is_a_part_like_any_other() -> None:
    assert len(namespace(b"s" * 32, "key\udc80")) == 32

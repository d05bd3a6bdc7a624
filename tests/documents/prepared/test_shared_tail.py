from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.documents.prepared.shared_tail import shared_tail

IDS = st.lists(st.integers(0, 3), max_size=90)


@given(IDS, IDS, st.integers(0, 90), st.integers(0, 90))
def test_head_and_tail_are_the_prefix(before: list[int], document: list[int], begin: int, end: int) -> None:
    for prefix in (before, before + document[begin:end], document):
        tail = shared_tail(prefix, document)
        assert prefix[: tail.head] + document[tail.token : tail.token + tail.count] == prefix


def test_all_that_is_the_documents_own_is_shared() -> None:
    document = list(range(1000))
    tail = shared_tail([5000, 5001, *document[3:990]], document)
    assert (tail.head, tail.token, tail.count) == (2, 3, 987)
    assert shared_tail([5000, *document[:500]], document).count == 0, (
        "so far before the end it is not looked for"
    )

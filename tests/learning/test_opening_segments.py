from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.learning.opening_segments import LONGEST_LINE, SEGMENT, opening_segments

KEY = b"k" * 32
TEXTS = st.lists(st.integers(0, 900), max_size=12).map(lambda lines: "\n".join("x" * n for n in lines))


def cuts(text: str, key: bytes = KEY) -> list[tuple[int, bytes]]:
    return [(s.end, s.digest) for s in opening_segments(text, key)]


@given(TEXTS, TEXTS, TEXTS)
def test_texts_that_begin_alike_have_the_same_segments_up_to_there(a: str, b: str, c: str) -> None:
    first, second = cuts(a + b), cuts(a + c)
    common = 0
    while common < min(len(a + b), len(a + c)) and (a + b)[common] == (a + c)[common]:
        common += 1
    # A segment ends with its line: what stands behind the common part can at most cut that line elsewhere.
    shared = [cut for cut in first if cut[0] <= common]
    assert [cut for cut in second if cut[0] <= common] == shared


def test_segments_end_with_lines_and_long_lines_are_cut() -> None:
    text = ("word " * 60 + "\n") * 8
    assert all(text[end - 1] == "\n" and end >= SEGMENT for end, _ in cuts(text))
    assert [end for end, _ in cuts("y" * 5_000)] == [LONGEST_LINE, 2 * LONGEST_LINE]
    assert cuts("short\n") == [] and cuts("") == []


def test_digests_need_the_key_and_tell_texts_apart() -> None:
    text = "line\n" * 400
    assert [d for _, d in cuts(text)] != [d for _, d in cuts(text, b"other")]
    changed = "Line" + text[4:]
    assert {d for _, d in cuts(text)}.isdisjoint(d for _, d in cuts(changed))
    assert len(cuts("\ud800\n" * 600)) == 2

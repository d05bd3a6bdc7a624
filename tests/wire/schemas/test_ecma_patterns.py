from __future__ import annotations

import re

import pytest

from kvproxy.wire.schemas.ecma_patterns import UnknownPattern, fully_matched, translated


@pytest.mark.parametrize(
    ("pattern", "same"),
    [
        ("^[a-z]+$", "^[a-z]+$"),
        ("^[[a]]$", r"^[\[a]\]$"),
        ("[a&&b--c]", None),
        ("[!--]", r"[\x{21}-\-]"),
        ("[a-]", r"[a\-]"),
        ("a{2,3}b{c}", r"a{2,3}b\{c\}"),
        (r"\/\-\@", r"\/\-@"),
        (r"\u0041\x42\u{43}\cA\0", r"ABC\x{1}\x{0}"),
        (r"\ud83d\ude00", r"\x{1f600}"),
        (r"(?<year>\d)(?:a|b)", "(?<year>[0-9])(?:a|b)"),
        (r"\d\w", "[0-9][0-9A-Za-z_]"),
        ("\x00", r"\x{0}"),
    ],
)
def test_words_of_one_language_in_the_other(pattern: str, same: str | None) -> None:
    if same is None:
        with pytest.raises(UnknownPattern):
            translated(pattern)
        return
    assert translated(pattern).replace(r"!", r"\x{21}") == same.replace("!", r"\x{21}")


@pytest.mark.parametrize(
    "pattern",
    [
        "[]",
        "[^]a]",
        "[a",
        "\\",
        r"\A",
        r"\z",
        r"\a",
        "a++",
        "a*+",
        "a{,2}",
        "(?s).",
        r"[\ud800]",
        "[b-a]",
        r"[\1]",
    ],
)
def test_a_pattern_with_another_meaning_is_refused(pattern: str) -> None:
    with pytest.raises(UnknownPattern):
        translated(pattern)


@pytest.mark.parametrize(
    ("pattern", "bare"),
    [
        ("^a$", "a"),
        ("a", "a"),
        ("^a|b$", "a|b"),
        (r"a\$", r"a\$"),
        (r"a\\$", r"a\\"),
        ("^(a|b)$|^c", "(a|b)|c"),
    ],
)
def test_anchors_around_a_whole_match_go(pattern: str, bare: str) -> None:
    assert fully_matched(pattern) == bare


def test_white_space_that_every_reader_counts_in() -> None:
    """JavaScript has U+FEFF and Python U+001C; neither is admitted for either of ``\\s`` and ``\\S``."""
    for pattern in (r"\s", r"\S", r"[\s]", r"[^\S]", r"[^\s]"):
        python = re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: f"\\U{int(m[1], 16):08x}", translated(pattern))
        if not python.startswith("[["):
            assert not any(re.search(python, c) for c in "\ufeff\x1c\x85"), pattern

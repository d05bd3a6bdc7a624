from __future__ import annotations

import pytest

from kvproxy.documents.library.document import checked_etag
from kvproxy.documents.library.spelling import MOST, normal_forms, spellings, strip_front
from kvproxy.errors import DocumentRejected


def spelled(text: str) -> dict[str, str]:
    return {s.name: s.text for s in spellings(text)}


def test_normal_forms_are_those_that_are_other_texts() -> None:
    assert normal_forms("plain") == normal_forms("\u4e16") == ()
    assert [(s.name, s.text) for s in normal_forms("\u00e9")] == [("nfd", "e\u0301")]
    assert [(s.name, s.text) for s in normal_forms("e\u0301")] == [("nfc", "\u00e9")]
    mixed = "e\u0301 \u00e9"
    assert [(s.name, s.text) for s in normal_forms(mixed)] == [
        ("nfc", "\u00e9 \u00e9"),
        ("nfd", "e\u0301 e\u0301"),
    ]


@pytest.mark.parametrize(
    "text", ["One line.", "Two\nlines.\n", "Blanks behind. \n \r\n", "Behind\ufeff it.", "e\u0301 and \u00e9"]
)
def test_most_texts_have_one_spelling(text: str) -> None:
    assert spelled(text) == {"published": text}


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("a\r\nb\r\n", {"lf": "a\nb\n"}),
        ("a\rb", {"lf": "a\nb"}),
        ("\ufeffa\nb", {"no-bom": "a\nb"}),
        ("\n  a", {"stripped": "a"}),
        ("\r\na", {"lf": "\na", "stripped": "a"}),
        ("\ufeffa\r\nb", {"lf": "\ufeffa\nb", "no-bom": "a\r\nb", "no-bom+lf": "a\nb"}),
        (
            "\ufeff\r\n a\r\nb",
            {
                "lf": "\ufeff\n a\nb",
                "no-bom": "\r\n a\r\nb",
                "no-bom+lf": "\n a\nb",
                "stripped": "a\r\nb",
                "stripped+lf": "a\nb",
            },
        ),
    ],
)
def test_each_change_that_programs_make_is_a_spelling(text: str, others: dict[str, str]) -> None:
    found = spellings(text)
    assert (found[0].name, found[0].text) == ("published", text)
    assert {s.name: s.text for s in found[1:]} == others
    assert len(found) <= MOST and len({s.text.rstrip() for s in found}) == len(found)


@pytest.mark.parametrize("text", ["", " \n", "\ufeff", "\ufeff\n\ufeff "])
def test_marks_and_blanks_alone_are_no_text(text: str) -> None:
    assert strip_front(text) == ""
    with pytest.raises(DocumentRejected, match="is empty"):
        checked_etag("x", text, 100)

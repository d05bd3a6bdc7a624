"""Docstrings: every public name has one, none begins with a riddle, and a function of several parameters shows a call.

``known/docstrings.json`` has how many faults of each kind a package still has. Each figure may only shrink, and is
written anew (``--write-tables docstrings``) where it has.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.checkout import Checkout, SourceFile
from tests.house.exceptions import area, docstring_faults, read_table
from tests.house.prose import (
    Contracts,
    begins_with_a_riddle,
    docstrings,
    what_words,
    without_docstring,
    without_example,
)

ADVICE = {
    "no docstring": "say in one sentence what each is",
    "riddle": "begin with a noun that can be grepped, or with a verb",
    "no example": "show one call: `Example: name(...)`",
}


@pytest.mark.parametrize("kind", ADVICE)
def test_no_package_has_more_faults(checkout: Checkout, kind: str) -> None:
    found: dict[str, list[str]] = {}
    for name in docstring_faults(checkout)[kind]:
        found.setdefault(f"{kind} {area(name)}", []).append(name)
    known = {key: count for key, count in read_table("docstrings").items() if key.startswith(f"{kind} ")}
    more = {key: names for key, names in found.items() if len(names) > known.get(key, 0)}
    assert more == {}, f"more than the {known} that are known; {ADVICE[kind]}"
    fewer = {key: len(found.get(key, ())) for key, count in known.items() if len(found.get(key, ())) < count}
    assert fewer == {}, "better than the table: python -m tests.house.measure_house --write-tables docstrings"


SOURCE = '''
"""Module."""

class Public:
    """Class."""

    def method(self, a, b):
        def inner(): ...

    def shown(self, a, b, c):
        """Call ``shown(1, 2, 3)``."""

    def _private(self, a, b, c): ...

    class _Hidden:
        def method(self): ...

    class Inner:
        """Inner."""

if True:
    async def hidden_by_nothing(a, *, b, c):
        """Do it, unlike hidden_by_nothings(), in vain."""

def doctest(a, b, c):
    """
    >>> 1
    """

def worded(a, b, *c, **d):
    """Do. Example: worded it is."""
'''


def test_public_names_are_found() -> None:
    file = SourceFile(Path("kvproxy/m.py"), SOURCE)
    assert without_docstring(file) == ["kvproxy/m.py:Public.method"]
    assert without_example(file) == ["kvproxy/m.py:hidden_by_nothing"]
    assert len(list(docstrings(file))) == 7
    assert without_docstring(SourceFile(Path("m.py"), "x = 1\n")) == ["m.py"]
    assert without_docstring(SourceFile(Path("__init__.py"), "")) == []


CONTRACT = '''
"""Module."""

class Backend(Protocol):
    """Contract."""

    def keep(self, a, b, c):
        """Keep. ``keep(1, 2, 3)``"""

    def name(self): ...

class Local:
    """Implementation."""

    def keep(self, a, b, c): ...

    def name(self): ...

class Half:
    """Another thing."""

    def keep(self, a, b, c): ...

@app.command("serve")
def serve(a, b, c):
    """Start."""
'''


def test_an_implementation_need_not_repeat_its_protocol() -> None:
    file = SourceFile(Path("kvproxy/m.py"), CONTRACT)
    contracts = Contracts([file])
    assert without_docstring(file, contracts) == [
        *("kvproxy/m.py:Backend.name", "kvproxy/m.py:Local.name", "kvproxy/m.py:Half.keep"),
    ]
    assert without_example(file, contracts) == ["kvproxy/m.py:Half.keep"]


@pytest.mark.parametrize(
    "text", ["What is told.", "Whose words\nare", "``which`` one", "how\n", "Who's there"]
)
def test_a_riddle(text: str) -> None:
    assert begins_with_a_riddle(text)


@pytest.mark.parametrize(
    "text", ["A page, and what it holds.", "Whatever", "Somewhere", "", "``Plan``: where it goes"]
)
def test_no_riddle(text: str) -> None:
    assert not begins_with_a_riddle(text)


def test_words_are_counted() -> None:
    assert what_words("What nobody's page, whose; another one's, somewhat") == 4
    assert what_words("The cache's lock, which is held") == 0

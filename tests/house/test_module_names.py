"""No module's and no class's name occurs twice: today's repeats, in ``known/names.json``, may only shrink."""

from __future__ import annotations

from pathlib import Path

from tests.house.checkout import Checkout
from tests.house.exceptions import ALLOWED, faults_of_counts, names, read_table


def test_names_occur_once(checkout: Checkout) -> None:
    advice = "rename one so that it says what it is without its folder"
    assert faults_of_counts(names(checkout), read_table("names"), "names", advice) == []


def test_what_is_allowed_is_there(checkout: Checkout) -> None:
    assert set(ALLOWED) <= names(checkout, allowed={}).keys()


def test_repeats_are_found(tmp_path: Path) -> None:
    made = {
        "kvproxy/base.py": "class One: ...\n",
        "kvproxy/a/base.py": "def f() -> None:\n    class One: ...\n",
        "kvproxy/a/plan.py": "class Two: ...\n",
        "kvproxy/b/plan.py": "class _Three: ...\n",
        "integrations/x/pyproject.toml": "",
        "integrations/x/x/plan.py": "class Two: ...\nclass _Three: ...\n",
        "integrations/x/tests/test_plan.py": "class One: ...\n",
    }
    for name, text in made.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = names(Checkout(tmp_path), allowed={"integrations/x class Two": "a reason"})
    assert found == {"module plan": 2, "class One": 2, "integrations/x class _Three": 2}

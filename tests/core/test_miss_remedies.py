"""The advice about misses: each cause has some, and it names settings and commands that exist."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_command

from kvproxy.cli.app import app
from kvproxy.config import Config
from kvproxy.core import PAGE_TOKENS, MissCause
from kvproxy.core.miss_remedies import REMEDIES

SECTIONS = "|".join(Config.model_fields)
SETTING = re.compile(rf"\b({SECTIONS})\.([a-z_]+)")
COMMAND = re.compile(r"`kvproxy ([a-z]+)")
WORDS = " ".join(f"{r.meaning} {r.do}" for r in REMEDIES.values())


@pytest.mark.parametrize("cause", MissCause)
def test_each_cause_has_a_clause_for_its_meaning_and_one_for_its_remedy(cause: MissCause) -> None:
    remedy = REMEDIES[cause]
    for clause in (remedy.meaning, remedy.do):
        assert clause.strip() == clause != "" and not clause.endswith(".")
        assert "|" not in clause and "\n" not in clause, "it is a cell of a table"


def test_no_two_causes_mean_the_same() -> None:
    assert len({r.meaning for r in REMEDIES.values()}) == len(REMEDIES) == len(MissCause)


def test_the_settings_that_are_named_exist() -> None:
    named = set(SETTING.findall(WORDS))
    assert ("engine", "page_budget") in named and len(named) >= 5
    for section, name in named:
        kind = Config.model_fields[section].annotation
        assert isinstance(kind, type) and issubclass(kind, BaseModel)
        assert name in kind.model_fields, f"{section}.{name}"


def test_the_commands_that_are_named_exist() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    named = set(COMMAND.findall(WORDS))
    assert len(named) >= 3 and named <= set(group.commands)


def test_the_least_that_is_kept_is_a_page() -> None:
    assert f"a page of {PAGE_TOKENS} tokens" in REMEDIES[MissCause.TOO_SHORT].meaning

"""Constraints of answers: compiled once, refused before anything is queued, each answer with a state of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from kvproxy.backends.base import NoPages
from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.core import Caller, Constraint, JsonFormat, LeftOut, Tool
from kvproxy.errors import InvalidRequest, UnsupportedSchema
from kvproxy.events import Finished, Started
from tests.backends.embedded.backend_home import (
    ASKED,
    Home,
    events_of,
    found,
    generation,
    home,
    model,
    text_of,
    vocabulary,
)
from tests.engine.constraints import Walk
from tests.engine.tiny import prompt

__all__ = ["home", "model", "vocabulary"]


class Grammars:
    """A :class:`GrammarCompiler` whose answers hold three tokens of a few."""

    def __init__(self) -> None:
        self.compiled: list[Constraint] = []
        self.walks: list[Walk] = []
        self.left_out: tuple[LeftOut, ...] = ()

    async def compile(self, constraint: Constraint, caller: Caller) -> Grammars:
        self.compiled.append(constraint)
        if constraint.format == JsonFormat({"not": {}}):
            raise UnsupportedSchema("'not' cannot be enforced", param="response_format")
        return self

    def start(self) -> Walk:
        self.walks.append(Walk({65, 66, 67}, 3))
        return self.walks[-1]


JSON = Constraint(format=JsonFormat())


async def test_a_constraint_is_compiled_and_each_answer_has_its_own_state(home: Home) -> None:
    grammars = Grammars()
    backend = EmbeddedBackend(home.rig.engine, "tiny", home.store, grammars)
    asked = replace(generation(prompt(1, 300)), constraint=JSON)
    answers = await asyncio.gather(*(events_of(backend, asked) for _ in range(3)))
    assert {text_of(a) for a in answers} == {text_of(answers[0])}
    assert len(text_of(answers[0])) == 3 and set(text_of(answers[0])) <= set("ABC")
    assert isinstance(answers[0][-1], Finished) and answers[0][-1].reason == "stop"
    assert grammars.compiled == [JSON] * 3
    assert [len(w.accepted) for w in grammars.walks] == [3, 3, 3]
    await events_of(backend, generation(prompt(1, 300)))
    assert len(grammars.compiled) == 3, "no constraint, no grammar"


async def test_what_a_grammar_does_not_enforce_is_told_as_the_answer_begins(home: Home) -> None:
    grammars = Grammars()
    grammars.left_out = (LeftOut("response_format", "uniqueItems"),)
    backend = EmbeddedBackend(home.rig.engine, "tiny", home.store, grammars)
    events = await events_of(backend, replace(generation(prompt(1, 300)), constraint=JSON))
    assert isinstance(events[0], Started)
    assert events[0].left_out == grammars.left_out


async def test_a_schema_that_cannot_be_enforced_is_refused_before_anything_is_queued(home: Home) -> None:
    backend = EmbeddedBackend(home.rig.engine, "tiny", home.store, Grammars())
    asked = replace(generation(), constraint=Constraint(format=JsonFormat({"not": {}})))
    with pytest.raises(UnsupportedSchema):
        await events_of(backend, asked)
    assert found(backend, ASKED) == NoPages(evicted=False)


@pytest.mark.parametrize(
    ("constraint", "param"), [(JSON, "response_format"), (Constraint(tools=(Tool("f"),)), "tools")]
)
async def test_without_grammars_a_constraint_is_refused(
    home: Home, constraint: Constraint, param: str
) -> None:
    with pytest.raises(InvalidRequest, match="tiny") as caught:
        await events_of(home.backend, replace(generation(), constraint=constraint))
    assert caught.value.param == param

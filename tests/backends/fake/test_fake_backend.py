from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvproxy.backends.base import Comparison, Generation, LocalBackend, MissBackend, NoPages, PagesFound
from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses, answer_to
from kvproxy.core import (
    PUBLIC,
    CacheHints,
    Caller,
    Constraint,
    DocumentRef,
    JsonFormat,
    MissReason,
    Prompt,
    Sampling,
    Span,
    Tool,
    ToolChoice,
)
from kvproxy.errors import ContextTooLong, HitLost
from kvproxy.events import Finished, Started, TextDelta, Usage

ANN, BOB = Caller("ann", "tenant:ann"), Caller("bob", "tenant:bob")
TOKENS = tuple(range(1000))


def generation(token_ids: tuple[int, ...], *spans: Span, require_cached: int = 0) -> Generation:
    return Generation("id", Prompt(token_ids, spans), Sampling(), ANN, require_cached)


def found(backend: FakeBackend, token_ids: tuple[int, ...], caller: Caller = ANN) -> PagesFound | NoPages:
    with backend.hold(Prompt(token_ids), caller) as lookup:
        assert backend.holds == 1
    assert backend.check() == []
    return lookup


def test_it_is_both_backends() -> None:
    local: LocalBackend = FakeBackend()
    misses: MissBackend = FakeMisses(FakeBackend(), upstreams=("far",))
    assert local.info.exact and misses.models() == ("far",)


async def test_a_generation_is_a_function_of_the_prompt() -> None:
    backend = FakeBackend()
    events = [e async for e in backend.generate(generation(TOKENS))]
    assert isinstance(events[0], Started) and events[0].cached_tokens == 0
    assert [e.text for e in events[1:-1] if isinstance(e, TextDelta)] == answer_to(TOKENS)
    assert events[-1] == Finished("stop", Usage(1000, 12, 0, 1000))
    assert answer_to(TOKENS) != answer_to(TOKENS[1:])


async def test_a_prompt_is_kept_for_its_caller_alone() -> None:
    backend = FakeBackend()
    assert found(backend, TOKENS) == NoPages(evicted=False)
    async for _ in backend.generate(generation(TOKENS)):
        pass
    assert found(backend, TOKENS) == PagesFound(999, 0)
    assert found(backend, (*TOKENS[:700], -1)) == PagesFound(700, 0)
    assert found(backend, TOKENS, BOB) == NoPages(evicted=False)
    backend.evict()
    assert found(backend, TOKENS) == NoPages(evicted=True)
    with pytest.raises(HitLost) as caught:
        await anext(backend.generate(generation(TOKENS, require_cached=999)))
    assert caught.value.reason == MissReason.NOT_RESIDENT


async def test_a_published_framing_is_restored_for_everyone() -> None:
    backend = FakeBackend()
    span = Span(DocumentRef("d", 1), 1, 600, PUBLIC)
    async for _ in backend.generate(generation(TOKENS, span)):
        pass
    assert found(backend, TOKENS, BOB) == PagesFound(600, 0)


async def test_what_was_kept_is_found_after_a_restart_until_it_is_forgotten() -> None:
    backend = FakeBackend(start_delay_s=0.001)
    seen: list[tuple[int, int]] = []
    kept = await backend.keep(TOKENS, PUBLIC, lambda done, total: seen.append((done, total)))
    assert seen == [(256, 1000), (512, 1000), (768, 1000), (1000, 1000)]
    assert [p.tokens for p in kept.pages] == [256, 256, 256, 232] and kept.prefill_s > 0
    assert (await backend.keep(TOKENS, PUBLIC)).prefill_s == 0.0

    again = FakeBackend(disk=backend.disk)
    assert found(again, (*TOKENS, 7), BOB) == NoPages(evicted=False)
    assert await again.known(kept, PUBLIC) == 1000
    assert found(again, (*TOKENS, 7), BOB) == PagesFound(1000, 0)
    backend.disk.discard(kept.pages[1].key)
    assert await FakeBackend(disk=backend.disk).known(kept, PUBLIC) == 256

    await again.forget(kept, PUBLIC, still_kept=frozenset({kept.pages[0].key}))
    assert found(again, (*TOKENS, 7), BOB) == NoPages(evicted=False)
    assert backend.disk == {kept.pages[0].key}


async def test_a_comparison_is_equal_unless_it_was_told_otherwise() -> None:
    backend = FakeBackend()
    with pytest.raises(HitLost):
        await backend.compare(Prompt(TOKENS), ANN, 24)
    await backend.keep(TOKENS[:900], PUBLIC)
    count = len(TOKENS) + 12
    expected = Comparison(900, 4, 4, count, count, count, 0.0, 12, 12)
    assert await backend.compare(Prompt(TOKENS), ANN, 24) == expected and expected.exact
    backend.difference = 0.25
    other = Comparison(900, 4, 0, len(TOKENS) + 5, 0, 0, 0.25, 5, 0, 0)
    assert await backend.compare(Prompt(TOKENS), ANN, 5) == other and not other.exact


async def said(backend: FakeBackend, **fields: Any) -> list[TextDelta]:
    asked = replace(generation(TOKENS), **fields)
    return [e async for e in backend.generate(asked) if isinstance(e, TextDelta)]


async def test_answers_are_said_as_planned_word_by_word() -> None:
    backend = FakeBackend()
    backend.say_next("<think>\nhm </think> é")
    assert [(d.text, d.tokens) for d in await said(backend)] == [
        ("<think>\n", 1),
        ("hm ", 1),
        ("</think> ", 1),
        ("é", 1),
    ]
    assert "".join(d.text for d in await said(backend)) == "".join(answer_to(TOKENS))


async def test_constraints_are_obeyed() -> None:
    backend = FakeBackend()
    tool = Tool(
        "f", parameters={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    )
    forced = Constraint(tools=(tool,), choice=ToolChoice("required"), reasoning="open")
    text = "".join(d.text for d in await said(backend, constraint=forced))
    assert text == '\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {"a": 0}}\n</tool_call>'
    json_format = Constraint(format=JsonFormat({"enum": ["ja"]}))
    assert "".join(d.text for d in await said(backend, constraint=json_format)) == '"ja"'
    free = Constraint(tools=(tool,))
    assert "".join(d.text for d in await said(backend, constraint=free)) == "".join(answer_to(TOKENS))


async def test_logprobs_are_a_function_of_the_word() -> None:
    backend = FakeBackend()
    first, second = await said(backend, sampling=Sampling(logprobs=3)), await said(backend)
    assert all(len(d.logprobs) == 1 and len(d.logprobs[0].top) == 3 for d in first)
    assert [d.logprobs[0].chosen.text.decode() for d in first] == answer_to(TOKENS)
    assert all(d.logprobs == () for d in second)
    assert first == await said(backend, sampling=Sampling(logprobs=3))


async def test_nothing_is_kept_behind_the_last_mark() -> None:
    backend = FakeBackend()
    await said(backend, keep_until=0)
    assert found(backend, TOKENS) == NoPages(evicted=False)
    events = [e async for e in backend.generate(replace(generation(TOKENS), keep_until=400))]
    assert events[-1] == Finished("stop", Usage(1000, 12, 0, 400))
    assert found(backend, TOKENS) == PagesFound(400, 0)
    await said(backend, caller=ANN.salted(CacheHints(salt="k")))
    assert found(backend, TOKENS) == PagesFound(400, 0)
    assert found(backend, TOKENS, ANN.salted(CacheHints(salt="k"))) == PagesFound(999, 0)


async def test_failures_come_when_they_were_planned() -> None:
    backend = FakeBackend(max_context=500)
    backend.fail_next(RuntimeError("early"))
    backend.fail_next(RuntimeError("late"), after_words=1)
    with pytest.raises(RuntimeError, match="early"):
        await anext(backend.generate(generation(TOKENS)))
    events = []
    with pytest.raises(RuntimeError, match="late"):
        async for event in backend.generate(generation(TOKENS)):
            events.append(event)
    assert len(events) == 2
    with pytest.raises(ContextTooLong):
        await backend.keep(TOKENS, PUBLIC)
    assert backend.check() == []


async def test_check_names_what_leaked() -> None:
    backend = FakeBackend()
    events = backend.generate(generation(TOKENS))
    await anext(events)
    with backend.hold(Prompt(TOKENS), ANN):
        assert backend.check() == ["generation id was never closed", "1 lookups are still held"]
    await events.aclose()
    assert backend.check() == []

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from kvproxy.backends.base import LocalBackend, NoPages, PagesFound
from kvproxy.core import (
    PAGE_TOKENS,
    PUBLIC,
    CacheHints,
    Caller,
    MissReason,
    Prompt,
    Sampling,
    Span,
    documents_scope,
)
from kvproxy.errors import CannotFit, ContextTooLong, HitLost, InvalidRequest, ShuttingDown, StorageFull
from kvproxy.events import Finished, Started, TextDelta
from tests.backends.embedded.backend_home import (
    ANN,
    ASKED,
    BOB,
    DOCUMENT,
    REF,
    Home,
    cached_of,
    events_of,
    found,
    generation,
    home,
    model,
    text_of,
    vocabulary,
)
from tests.engine.altered_page import alter_page
from tests.engine.tiny import VOCAB, prompt

__all__ = ["home", "model", "vocabulary"]


async def test_it_is_a_local_backend(home: Home) -> None:
    backend: LocalBackend = home.backend
    info = backend.info
    assert (info.model, info.max_context, info.page_tokens) == ("tiny", 1024, PAGE_TOKENS)
    assert info.exact and backend.ready() is None


async def test_a_second_prompt_takes_what_the_first_one_computed(home: Home) -> None:
    first = await events_of(home.backend, generation())
    assert cached_of(first) == 0
    assert found(home.backend, ASKED) == PagesFound(tokens=629, on_disk=0)
    second = await events_of(home.backend, generation(require_cached=629))
    assert cached_of(second) == 629
    assert text_of(second) == text_of(first) != ""


async def test_a_published_prefix_is_read_by_everybody(home: Home) -> None:
    seen: list[tuple[int, int]] = []
    kept = await home.backend.keep(DOCUMENT, PUBLIC, lambda *p: seen.append(p))
    assert seen[-1] == (600, 600)
    assert [p.tokens for p in kept.pages] == [256, 256, 88]
    assert kept.token_ids == DOCUMENT and kept.prefill_s > 0
    assert kept.bytes == 3 * home.rig.cache.pool.shape.bytes
    assert all(home.store.has(p.key) for p in kept.pages)
    for caller in (ANN, BOB):
        assert found(home.backend, ASKED, caller) == PagesFound(600, 0)
        assert cached_of(await events_of(home.backend, generation(caller=caller, require_cached=600))) == 600
    again = await home.backend.keep(DOCUMENT, PUBLIC)
    assert again.pages == kept.pages and again.prefill_s == 0.0


async def test_what_is_private_is_found_by_its_owner_alone(home: Home) -> None:
    await home.backend.keep(DOCUMENT, ANN.scope)
    assert found(home.backend, ASKED, ANN) == PagesFound(600, 0)
    assert found(home.backend, ASKED, BOB) == NoPages(evicted=False)
    assert cached_of(await events_of(home.backend, generation(caller=BOB))) == 0
    with pytest.raises(HitLost):
        await events_of(home.backend, generation(prompt(9, 40), caller=BOB, require_cached=1))


async def test_a_reader_restores_a_published_framing_for_all(home: Home) -> None:
    span = Span(REF, 3, 600, scope=PUBLIC)
    await events_of(home.backend, generation(spans=(span,)))
    assert found(home.backend, ASKED, BOB) == PagesFound(512, 0), "full pages within the document"
    await home.backend.check()
    unpublished = (*prompt(5, 600), *prompt(2, 30))
    await events_of(home.backend, generation(unpublished, spans=(Span(REF, 3, 600),)))
    assert found(home.backend, unpublished, BOB) == NoPages(evicted=False)


async def test_the_first_reader_after_a_restart_hits(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    warm = await events_of(home.backend, generation())
    await home.restart()
    assert found(home.backend, ASKED) == NoPages(evicted=False)
    assert await home.backend.known(kept, PUBLIC) == 600
    assert found(home.backend, ASKED) == PagesFound(tokens=600, on_disk=600)
    hit = await events_of(home.backend, generation(require_cached=600))
    assert cached_of(hit) == 600 and text_of(hit) == text_of(warm)
    assert found(home.backend, ASKED, BOB) == PagesFound(tokens=600, on_disk=0)


async def test_only_what_is_on_disk_under_this_fingerprint_is_known(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    home.store.delete([kept.pages[1].key])
    await home.restart()
    assert await home.backend.known(kept, PUBLIC) == 256
    other = type(kept)("another", kept.token_ids, kept.pages, kept.bytes, kept.prefill_s)
    assert await home.backend.known(other, PUBLIC) == 0


async def test_a_forgotten_document_is_gone_from_memory_and_disk(home: Home) -> None:
    longer = (*DOCUMENT, *prompt(7, 300))
    kept, second = await home.backend.keep(DOCUMENT, PUBLIC), await home.backend.keep(longer, PUBLIC)
    assert second.pages[:2] == kept.pages[:2]
    shared = frozenset(p.key for p in second.pages)
    await home.backend.forget(kept, PUBLIC, shared)
    assert found(home.backend, (*longer, 1)) == PagesFound(900, 0)
    assert not home.store.has(kept.pages[2].key) and home.store.has(kept.pages[1].key)
    await home.backend.forget(second, PUBLIC, frozenset())
    assert found(home.backend, (*longer, 1)) == NoPages(evicted=True)
    assert home.store.usage().pages == 0


async def test_a_page_that_is_gone_loses_the_hit_and_is_computed_again(home: Home) -> None:
    kept = await home.backend.keep(DOCUMENT, PUBLIC)
    warm = await events_of(home.backend, generation(caller=BOB))
    await home.restart()
    home.store.delete([kept.pages[1].key])
    assert await home.backend.known(kept, PUBLIC) == 256
    with pytest.raises(HitLost) as caught:
        await events_of(home.backend, generation(require_cached=600))
    assert caught.value.reason is MissReason.NOT_RESIDENT
    again = await events_of(home.backend, generation())
    assert cached_of(again) == 256 and text_of(again) == text_of(warm)


async def test_refusals_come_before_started(home: Home) -> None:
    with pytest.raises(ContextTooLong, match="1024 tokens"):
        await events_of(home.backend, generation(prompt(1, 1020), new=10))
    with pytest.raises(ContextTooLong):
        await home.backend.keep(prompt(1, 1024), PUBLIC)
    home.max_size = 4 * home.rig.cache.pool.shape.bytes
    await home.restart()
    with pytest.raises(StorageFull):
        await home.backend.keep(prompt(1, 1000), PUBLIC)
    assert await home.backend.check() == []
    home.pages = 3
    await home.restart()
    with pytest.raises(CannotFit, match="3 pages"):
        await events_of(home.backend, generation(prompt(1, 900)))
    await asyncio.to_thread(home.rig.engine.stop)
    assert home.backend.ready() == "the engine is not running"
    with pytest.raises(ShuttingDown):
        await events_of(home.backend, generation())


async def test_closing_a_generation_frees_its_pages(home: Home) -> None:
    async with aclosing(home.backend.generate(generation(new=300))) as events:
        assert isinstance(await anext(events), Started)
        assert isinstance(await anext(events), TextDelta)
    await asyncio.to_thread(home.rig.wait_for, home.rig.idle)
    assert await home.backend.check() == []


async def test_many_readers_half_of_whom_leave(home: Home) -> None:
    await home.backend.keep(DOCUMENT, PUBLIC)

    async def read(i: int) -> str | None:
        asked = generation((*DOCUMENT, *prompt(100 + i % 4, 20)), Caller(f"c{i}", f"tenant:{i}"), new=20)
        async with aclosing(home.backend.generate(asked)) as events:
            said = ""
            async for event in events:
                if i % 2 and isinstance(event, TextDelta):
                    return None
                said += event.text if isinstance(event, TextDelta) else ""
            return said

    answers = await asyncio.gather(*(read(i) for i in range(24)))
    assert [a is None for a in answers] == [bool(i % 2) for i in range(24)]
    for i, answer in enumerate(answers):
        if answer is not None:
            assert answer == answers[i % 4]
    assert answers[0] != answers[2]


async def test_a_hit_compared_with_a_prefill_from_scratch_is_equal(home: Home) -> None:
    await home.backend.keep(DOCUMENT, PUBLIC)
    before = home.backend.occupancy()
    got = await home.backend.compare(Prompt(ASKED), ANN, 12)
    # The last token of the answer was chosen, not computed.
    assert (got.cached_tokens, got.pages, got.positions) == (600, 3, 630 + 12 - 1)
    assert got.exact and got.equal_pages == 3 and got.first_difference is None
    assert got.equal_argmax == got.equal_positions == got.positions
    assert got.largest_difference == 0.0
    assert (got.greedy_tokens, got.equal_greedy) == (12, 12)
    await home.backend.check()
    assert home.backend.occupancy() == before, "nothing is left behind"
    with pytest.raises(HitLost):
        await home.backend.compare(Prompt(prompt(9, 50)), ANN, 12)


async def test_a_comparison_sees_pages_that_are_wrong(home: Home) -> None:
    """Else it would prove nothing."""
    await home.backend.keep(DOCUMENT, PUBLIC)
    with home.backend.hold(Prompt(ASKED), ANN):
        page = home.rig.cache.match(DOCUMENT, (PUBLIC,), 600).nodes[0].page or 0
        alter_page(home.rig.cache.pool, page, lambda rows: rows[:, 1, :, 7].add_(4.0))
        got = await home.backend.compare(Prompt(ASKED), ANN, 4)
    assert got.largest_difference > 0 and not got.exact
    assert (got.pages, got.equal_pages, got.first_difference) == (3, 2, 7)


async def test_a_comparison_that_does_not_fit_says_so(home: Home) -> None:
    home.pages = 4
    await home.restart()
    await home.backend.keep(DOCUMENT, PUBLIC)
    with pytest.raises(CannotFit, match="no room"):
        await home.backend.compare(Prompt(ASKED), ANN, 4)


async def test_a_request_without_a_seed_is_not_always_the_same(home: Home) -> None:
    free = Sampling(temperature=1.5, max_tokens=12)
    asked = [generation(prompt(1, 30), sampling=free) for _ in range(4)]
    assert len({text_of(await events_of(home.backend, g)) for g in asked}) > 1
    seeded = Sampling(temperature=1.5, max_tokens=12, seed=4)
    asked = [generation(prompt(1, 30), sampling=seeded) for _ in range(3)]
    assert len({text_of(await events_of(home.backend, g)) for g in asked}) == 1


async def test_what_a_client_marks_as_its_own_is_kept_by_nobody(home: Home) -> None:
    first = await events_of(home.backend, replace(generation(), keep_until=300))
    last = first[-1]
    assert isinstance(last, Finished) and last.usage.cache_write_tokens == 300
    assert found(home.backend, ASKED) == PagesFound(300, 0)


async def test_an_answer_without_a_limit_goes_on_to_the_end_of_the_context(home: Home) -> None:
    events = await events_of(home.backend, generation(sampling=Sampling(temperature=0.0)))
    last = events[-1]
    assert isinstance(last, Finished) and last.reason == "length"
    assert last.usage.prompt_tokens + last.usage.completion_tokens == 1024


async def test_pages_of_one_salt_are_read_with_no_other_and_with_none(home: Home) -> None:
    one, two = CacheHints(salt="one"), CacheHints(salt="two")
    await events_of(home.backend, generation(caller=ANN.salted(one)))
    assert found(home.backend, ASKED, ANN.salted(one)) == PagesFound(629, 0)
    for other in (ANN.salted(two), ANN, BOB.salted(one)):
        assert found(home.backend, ASKED, other) == NoPages(evicted=False)
    await events_of(home.backend, generation(prompt(8, 300)))
    assert found(home.backend, (*prompt(8, 300), 1), ANN.salted(one)) == NoPages(evicted=False)


async def test_a_private_document_is_read_with_any_salt(home: Home) -> None:
    await home.backend.keep(prompt(9, 300), documents_scope(ANN.scope))
    for caller in (ANN, ANN.salted(CacheHints(salt="one"))):
        assert found(home.backend, (*prompt(9, 300), 1), caller) == PagesFound(300, 0)
    assert found(home.backend, (*prompt(9, 300), 1), BOB) == NoPages(evicted=False)


async def test_choices_of_one_prompt_share_its_prefill_and_repeat_with_their_seeds(home: Home) -> None:
    free = Sampling(temperature=1.5, max_tokens=12)
    asked = [generation(sampling=replace(free, seed=seed)) for seed in range(4)]
    alone = [text_of(await events_of(home.backend, g)) for g in asked]
    await home.restart()
    together = await asyncio.gather(*(events_of(home.backend, g) for g in asked))
    assert [text_of(e) for e in together] == alone and len(set(alone)) == 4
    assert sorted(cached_of(e) for e in together) == [0, 629, 629, 629]


@pytest.mark.parametrize("param", ["logit_bias", "stop_token_ids", "prompt"])
async def test_ids_that_are_no_tokens_are_refused_before_started(home: Home, param: str) -> None:
    greedy = Sampling(temperature=0.0, max_tokens=4)
    wrong = {
        "logit_bias": generation(sampling=replace(greedy, logit_bias=((VOCAB, 1.0),))),
        "stop_token_ids": generation(sampling=replace(greedy, stop_token_ids=(-1,))),
        "prompt": generation((1, VOCAB)),
    }[param]
    with pytest.raises(InvalidRequest) as caught:
        await events_of(home.backend, wrong)
    assert caught.value.param == param


async def test_a_prediction_is_drafted_from_and_changes_no_answer(home: Home) -> None:
    plain = await events_of(home.backend, generation(new=40))
    counts = home.backend.drafts
    accepted, steps = counts.accepted, counts.steps
    predicted = tuple(map(ord, text_of(plain)))
    events = await events_of(home.backend, replace(generation(new=40), predicted=predicted))
    assert events[1:-1] == plain[1:-1]
    last, before = events[-1], plain[-1]
    assert isinstance(last, Finished) and isinstance(before, Finished)
    assert before.usage.prediction is None and last.usage.prediction is not None
    assert 0 < last.usage.prediction[0] <= counts.accepted - accepted
    assert counts.steps - steps < 40


async def test_a_prediction_of_no_tokens_of_the_model_is_refused_by_name(home: Home) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await events_of(home.backend, replace(generation(), predicted=(1, VOCAB)))
    assert caught.value.param == "prediction"

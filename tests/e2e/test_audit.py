"""A bit of a page flips in memory: the audit finds it, and from then on the document is answered from scratch."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import torch

from kvproxy.config import (
    Config,
    DocumentSettings,
    EngineSettings,
    FramingSettings,
    ModelSettings,
    StoreSettings,
)
from kvproxy.core import Caller, ChatRequest, DocumentRef, Hit, Message, Miss, MissReason, Sampling, TextPart
from kvproxy.engine.models.source import ModelFolder
from kvproxy.events import TextDelta
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_stack import Stack, open_stack
from kvproxy.telemetry.request_timer import Timings
from kvproxy.wire.answers.cache_status import cache_status
from tests.e2e.reader import MODEL
from tests.e2e.texts import document
from tests.engine.altered_page import alter_page

ANN = Caller("ann", "tenant:ann")
TEXT = document("audited", 2_300)
REF = DocumentRef("audited", 1)


@asynccontextmanager
async def opened(model: Path, store: Path) -> AsyncIterator[Stack]:
    config = Config(
        model=ModelSettings(path=str(model), name=MODEL),
        engine=EngineSettings(page_budget=200 * 2**20, audit=1.0),
        store=StoreSettings(path=store),
        documents=DocumentSettings(framings=(FramingSettings(place="system"),)),
    )
    async with open_stack(config, ModelFolders(ModelFolder(model, MODEL))) as stack:
        stack.start_background()
        yield stack
        assert await stack.local.check() == []


async def ask(stack: Stack, question: str) -> tuple[str, Hit | Miss, str]:
    """The answer, the decision and the Cache-Status."""
    messages = (Message("system", (TextPart(TEXT),)), Message("user", (TextPart(question),)))
    request = ChatRequest(MODEL, messages, Sampling(temperature=0.0, max_tokens=8))
    reply = await stack.pipeline.serve(request, ANN, f"audited-{uuid.uuid4().hex}", Timings())
    async with aclosing(reply):
        text = "".join([e.text async for e in reply.choices[0] if isinstance(e, TextDelta)])
    return text, reply.decision, cache_status(reply.decision, reply.started, exact=reply.exact)


async def audits(stack: Stack, result: str, count: int) -> None:
    """Until so many audits have ended like that."""
    wanted = f'kvproxy_audits_total{{result="{result}"}} {count}.0'
    async with asyncio.timeout(120):
        while wanted not in stack.pipeline.metrics.text().decode():  # noqa: ASYNC110  figures are polled
            await asyncio.sleep(0.02)


def flip(stack: Stack) -> None:
    """Exponent bits of values in the middle of the document, in all layers."""
    cache = stack.local._engine.cache
    for node in cache.index:
        if node.index == 1 and node.page is not None:
            alter_page(
                cache.pool,
                node.page,
                lambda rows: rows.view(torch.int16)[:, 1, :, 40:200, :8].bitwise_xor_(0x0100),
            )


@pytest.mark.slow
@pytest.mark.timeout(600)  # two starts of the real model, and a verification
async def test_a_page_that_rots_costs_a_prefill_and_never_an_answer(
    smollm2: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    question = "What is this text about?"
    async with opened(smollm2, tmp_path) as stack:
        await stack.publisher.publish("audited", TEXT, "public", ANN)
        right, decision, status = await ask(stack, question)
        assert isinstance(decision, Hit) and status.endswith(',exact"')
        await audits(stack, "passed", 1)

        await stack.local.on_kernel_thread(lambda: flip(stack))
        other = await ask(stack, "And whom does it concern?")
        assert isinstance(other[1], Hit)
        await audits(stack, "failed", 1)
        assert "audited@1 is in quarantine" in caplog.text
        for _ in range(2):
            answer, decision, status = await ask(stack, question)
            assert decision == Miss(MissReason.QUARANTINED, REF) and answer == right
            assert status == 'kvproxy; fwd=miss; key="audited@1"; detail="quarantined"'
        info = await stack.publisher.get(REF, ANN)
        assert "page 1 differs from a prefill from position 296 on" in (info.quarantined or "")
        assert [f.resident_tokens for f in info.framings] == [0] * len(info.framings)
        told = stack.pipeline.metrics.text().decode()
        assert "kvproxy_quarantined_documents 1.0" in told
        assert 'kvproxy_misses_total{cause="quarantined",reason="quarantined"} 2.0' in told

    async with opened(smollm2, tmp_path) as stack:
        answer, decision, _ = await ask(stack, question)
        assert decision == Miss(MissReason.QUARANTINED, REF) and answer == right
        found = await stack.verifier.verify(REF, ANN)
        assert [v.exact for v in found] == [True]
        answer, decision, _ = await ask(stack, question)
        assert isinstance(decision, Hit) and answer == right
        await audits(stack, "passed", 1)

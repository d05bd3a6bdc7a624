"""The work on a document as its request's spans show it: a publish and a verification, piece by piece."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.exactness.verify import Verifier
from kvproxy.publish import Publisher
from kvproxy.runtime.request_context import RequestContext, serving, traced_work
from kvproxy.telemetry.tracing.request_trace import MOST_WORK, RequestTrace
from kvproxy.telemetry.tracing.tracing import Tracing
from tests.documents.conversation import ALICE
from tests.documents.models import write_model
from tests.documents.registry.own_registry import OwnRegistry
from tests.telemetry.tracing.kept_spans import KeptSpans, told

FRAMINGS = (Framing("system"), Framing("user"))
TEXT = "Every reader shall be told what a page costs.\n" * 40


@pytest.fixture
def kept() -> KeptSpans:
    return KeptSpans()


def begun(kept: KeptSpans) -> tuple[RequestTrace, RequestContext]:
    trace = Tracing(kept.tracer).begin("POST /kv/v1/documents", None, {})
    assert trace is not None
    return trace, RequestContext("req_1", calls=trace)


async def test_a_publish_and_a_verification_say_where_their_time_went(
    kept: KeptSpans, tmp_path: Path
) -> None:
    folder, library = write_model(tmp_path / "model", "qwen3"), Library()
    composer = Composer(Tokenizer.load(folder), ChatTemplate.load(folder), library, FRAMINGS)
    backend = FakeBackend(max_context=16_384)
    publisher = Publisher(
        composer=composer, library=library, registry=OwnRegistry(tmp_path), local=backend, max_text=100_000
    )
    trace, context = begun(kept)
    with serving(context):
        await publisher.publish("plans", TEXT, "private", ALICE)
    trace.end("POST /kv/v1/documents", {}, None, failed=False)
    work = [(span.name, told(span).get("kvproxy.framing")) for span in kept.all[:-1]]
    assert work[0] == ("tokenize", None) and work[-1] == ("register", None)
    assert {("prefill", "system"), ("prefill", "user")} <= set(work)
    assert all(int(str(told(span)["kvproxy.tokens"])) > 0 for span in kept.all[:-2])
    assert set(kept.below(kept.all[-1])) == {name for name, _ in work}, "each is the request's own child"
    before = len(kept.all)
    trace, context = begun(kept)
    with serving(context):
        found = await Verifier(composer, library, backend, "m").verify(DocumentRef("plans"), ALICE)
    trace.end("POST /kv/v1/documents/{ref}/verify", {}, None, failed=False)
    proved = [told(span)["kvproxy.framing"] for span in kept.all[before:] if span.name == "prove"]
    assert proved == [one.framing for one in found]
    everything = "".join(span.to_json() for span in kept.all)
    assert "plans" not in everything and "reader" not in everything


def test_work_that_outlives_its_request_or_is_too_much_has_no_span(kept: KeptSpans) -> None:
    trace, context = begun(kept)
    with serving(context):
        for _ in range(MOST_WORK + 2):
            with traced_work("prefill"):
                pass
        trace.end("POST /kv/v1/documents", {}, None, failed=False)
        with traced_work("prefill"):
            pass
    assert len(kept.all) == MOST_WORK + 1

from __future__ import annotations

from pathlib import Path

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.exactness.verify import Verifier
from kvproxy.publish import Publisher
from tests.documents.conversation import ALICE, BOB
from tests.documents.models import TEXTS, write_model
from tests.documents.registry.own_registry import OwnRegistry

FRAMINGS = (Framing("system"), Framing("user"), Framing("user", "You are S."), Framing("text"))


async def test_each_framing_is_found_where_it_was_published(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", "qwen3")
    library = Library()
    composer = Composer(Tokenizer.load(folder), ChatTemplate.load(folder), library, FRAMINGS)
    backend = FakeBackend(max_context=16_384)
    registry = OwnRegistry(tmp_path)
    publisher = Publisher(
        composer=composer, library=library, registry=registry, local=backend, max_text=100_000
    )
    text = (TEXTS / "apache-2.0.txt").read_text(encoding="utf-8")
    published = await publisher.publish("apache", text, "public", ALICE)
    found = await Verifier(composer, library, backend, "m").verify(DocumentRef("apache"), BOB)
    # It begins with a line feed, which many programs strip: that is another text, with pages of its own.
    names = [f.name for f in FRAMINGS]
    assert [v.framing for v in found] == names + [f"{name}:stripped" for name in names]
    expected = {f.name: f.tokens for f in published.info.framings}
    for verification in found:
        assert verification.note == "" and verification.document == "apache@1"
        assert verification.cached_tokens == expected[verification.framing] > 1000

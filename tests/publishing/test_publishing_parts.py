from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import DocumentRejected
from kvproxy.publishing.publishing_parts import PublishingParts, make_parts
from kvproxy.publishing.text_preparation import MARGIN, TextPreparer
from tests.documents.models import write_model
from tests.documents.registry.own_registry import OwnRegistry


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[PublishingParts]:
    model, library, local = write_model(tmp_path / "model", "qwen3"), Library(), FakeBackend(max_context=512)
    composer = Composer(Tokenizer.load(model), ChatTemplate.load(model), library, [Framing("system")])
    state = tmp_path / "state"
    state.mkdir()
    with OwnRegistry(state) as registry:
        preparer = TextPreparer(composer, "auto", local)
        yield make_parts(library, registry, local, preparer, state / "prepared.sqlite3", lambda: 1.0)


def test_a_text_must_leave_its_margin_free(parts: PublishingParts) -> None:
    assert parts.preparer.longest == 512 - MARGIN
    prepared = parts.preparer.prepare("rules", "a b " * 40)
    assert 0 < max(len(p.token_ids) for p in prepared.prefixes) <= parts.preparer.longest
    with pytest.raises(DocumentRejected, match=f"{MARGIN} of them kept free"):
        parts.preparer.prepare("rules", "a b " * 400)


def test_the_prepared_texts_are_in_the_file_that_was_named(parts: PublishingParts, tmp_path: Path) -> None:
    assert parts.texts is not None
    parts.texts.close()
    assert (tmp_path / "state" / "prepared.sqlite3").exists()
    without = make_parts(parts.library, parts.registry, parts.local, parts.preparer, None, lambda: 1.0)
    assert without.texts is None and without.locks is not parts.locks

"""Documents behind a system prompt that was never seen before, and what tenants can tell of one another."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from kvproxy.core import PAGE_TOKENS
from tests.e2e.conftest import Fresh
from tests.e2e.reader import Reader
from tests.e2e.texts import document, in_system, in_user

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PERSONA = "You are a notary of the old school. You answer briefly and always politely."
QUESTION = "What is a covered work?"


def test_a_new_preamble_is_prefilled_once_for_each_tenant(fresh: Fresh, publisher: Reader) -> None:
    text = document("preamble", 1_700)
    publisher.publish("preamble", text)
    one, other = fresh(), fresh()
    first = one.ask(in_user(text, QUESTION, PERSONA))
    assert (first.outcome, first.key, first.detail) == ("fwd=miss", "preamble@1", "new-preamble")
    second = one.ask(in_user(text, QUESTION, PERSONA))
    another_question = one.ask(in_user(text, "Who conveys it?", PERSONA), stream=True)
    for answer in (second, another_question):
        assert (answer.outcome, answer.key) == ("hit", "preamble@1")
        assert answer.cached > PAGE_TOKENS
    assert second.text == first.text
    # What the first tenant's request left behind is its own.
    stranger = other.ask(in_user(text, QUESTION, PERSONA))
    assert (stranger.outcome, stranger.detail) == ("fwd=miss", "new-preamble")
    assert stranger.cached == first.cached < 40
    assert stranger.text == first.text
    assert other.ask(in_user(text, QUESTION, PERSONA)).outcome == "hit"


def test_a_document_is_found_wherever_a_message_starts_with_it(fresh: Fresh, publisher: Reader) -> None:
    """A later turn, behind a conversation: prefilled with it, and named."""
    text = document("later", 1_500)
    publisher.publish("later", text)
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello. What can I do for you?"},
        *in_user(text, QUESTION),
    ]
    tenant = fresh()
    first, second = tenant.ask(turns), tenant.ask(turns)
    assert (first.outcome, first.key, first.detail) == ("fwd=miss", "later@1", "new-preamble")
    assert (second.outcome, second.key, second.text) == ("hit", "later@1", first.text)


def test_a_private_document_is_not_there_for_others(fresh: Fresh) -> None:
    owner, stranger, control = fresh(), fresh(), fresh()
    text = document("private", 1_700)
    reference = [{"role": "user", "content": [{"type": "kv_document", "document": "private"}]}]
    before = control.ask(in_system(text, QUESTION))
    owner.publish("private", text, "private")
    mine = owner.ask(in_system(text, QUESTION))
    assert (mine.outcome, mine.key) == ("hit", "private@1") and mine.cached > PAGE_TOKENS
    assert owner.ask(reference).cached > PAGE_TOKENS

    theirs = stranger.ask(in_system(text, QUESTION))
    assert (theirs.outcome, theirs.key, theirs.detail) == ("fwd=miss", None, "no-document")
    assert theirs.cached == before.cached, "the count must be what it was before the document was there"
    assert theirs.text == mine.text == before.text
    with pytest.raises(openai.NotFoundError) as refused:
        stranger.ask(reference)
    assert refused.value.code == "document_not_found"
    assert "private@1" in owner.documents() and "private@1" not in stranger.documents()
    for method in ("GET", "DELETE"):
        assert stranger.http.request(method, "/kv/v1/documents/private").status_code == 404
    assert stranger.http.post("/kv/v1/documents/private/verify").status_code == 404
    # Nothing of all this has taken it from its owner.
    assert owner.ask(in_system(text, "And then?")).outcome == "hit"


def test_a_deleted_document_is_gone_at_once(fresh: Fresh, publisher: Reader) -> None:
    text = document("deleted", 2_000)
    publisher.publish("deleted", text)
    warm = fresh().ask(in_system(text, QUESTION))
    assert warm.outcome == "hit"
    assert fresh().http.delete("/kv/v1/documents/deleted").status_code == 403
    assert publisher.http.delete("/kv/v1/documents/deleted").status_code == 200
    cold = fresh().ask(in_system(text, QUESTION))
    assert (cold.outcome, cold.detail) == ("fwd=miss", "no-document")
    assert cold.cached < 40 and cold.text == warm.text
    assert publisher.publish("deleted", text)["info"]["version"] == 2, "a number is never used again"

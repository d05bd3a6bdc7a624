"""Granted documents through publishing and reading: let in by a grant, invisible without one, apart from all others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kvproxy.core import (
    Caller,
    ChatRequest,
    DocumentPart,
    DocumentRef,
    Message,
    PagesFound,
    Part,
    Prompt,
    TextPart,
    TextRequest,
)
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.errors import DocumentNotFound, InvalidRequest, PermissionDenied
from kvproxy.exactness.verify import Verifier
from tests import test_publish
from tests.documents.library.granted_rights import PlannedRights
from tests.test_private_ids import CALLS, SEQUENCES, counted, outcome, writes
from tests.test_publish import ALICE, BOB, FRAMINGS, TEXT, Shop, folder

__all__ = ["folder"]

CAROL = Caller("carol", "tenant:c")
PRIVATE = TEXT.replace("nothing", "no other thing")
THIRD = TEXT.replace("everyone", "each")


class GrantedShop(Shop):
    """A shop whose library asks planned rights, after a restart too."""

    rights: PlannedRights

    def prompt(self, caller: Caller, *parts: Part) -> Prompt:
        messages = (Message("system", parts), Message("user", (TextPart("Q"),)))
        return self.composer.compose(ChatRequest("fake", messages), caller)

    def found(self, caller: Caller, *parts: Part) -> int:
        """Tokens in kept pages, as the pipeline looks them up."""
        prompt = self.prompt(caller, *parts)
        reader = caller.reading(span.scope for span in prompt.documents)
        with self.backend.hold(prompt, reader) as lookup:
            return lookup.tokens if isinstance(lookup, PagesFound) else 0


@pytest.fixture
def rights(monkeypatch: pytest.MonkeyPatch) -> PlannedRights:
    rights = PlannedRights()
    monkeypatch.setattr(test_publish, "Library", lambda: Library(rights))
    monkeypatch.setattr(test_publish, "Shop", GrantedShop)  # what ``reopen`` makes
    return rights


@pytest.fixture
async def shop(folder: Path, tmp_path: Path, rights: PlannedRights) -> AsyncIterator[GrantedShop]:
    shop = GrantedShop(folder, tmp_path, set(), FRAMINGS)
    await shop.publish("rules", TEXT, "granted")
    yield shop
    assert shop.registry.check() == [] and shop.backend.check() == []
    assert shop.registry.page_keys() == shop.backend.disk, "what is on disk is what documents need"
    shop.registry.close()


RULES = DocumentPart(DocumentRef("rules"))


async def test_a_reader_with_a_grant_hits_by_reference_and_by_text(
    shop: GrantedShop, rights: PlannedRights
) -> None:
    rights.grant("rules", "bob")
    assert shop.found(BOB, RULES) == shop.found(BOB, TextPart(TEXT)) == shop.found(ALICE, RULES) > 500
    (span,) = shop.prompt(BOB, RULES).documents
    assert span.etag == shop.library.resolve(DocumentRef("rules"), ALICE).document.etag
    assert (span.publisher, span.grant, span.by_reference) == ("a", "grant-rules-bob", True)
    (sent,) = shop.prompt(BOB, TextPart(TEXT)).documents
    assert (sent.grant, sent.by_reference) == ("grant-rules-bob", False)
    (own,) = shop.prompt(ALICE, RULES).documents
    assert (own.grant, own.by_reference) == (None, True)


async def test_a_sender_of_the_text_is_served_in_full_and_finds_no_page(
    shop: GrantedShop, rights: PlannedRights
) -> None:
    prompt = shop.prompt(CAROL, TextPart(TEXT))
    assert prompt.documents == () and shop.found(CAROL, TextPart(TEXT)) == 0
    assert prompt.token_ids == shop.prompt(ALICE, RULES).token_ids, "the same prompt, computed cold"
    rights.discount("rules")
    assert shop.found(CAROL, TextPart(TEXT)) > 500
    (span,) = shop.prompt(CAROL, TextPart(TEXT)).documents
    assert (span.grant, span.by_reference, span.publisher) == (None, False, "a")


async def test_text_prompts_find_it_as_well(folder: Path, tmp_path: Path, rights: PlannedRights) -> None:
    shop = GrantedShop(folder, tmp_path, set(), (Framing("text"),))
    await shop.publish("rules", TEXT, "granted")
    rights.grant("rules", "bob")
    (span,) = shop.composer.compose(TextRequest("fake", f"{TEXT}\nQ"), BOB).documents
    assert (span.grant, span.publisher) == ("grant-rules-bob", "a") and span.scope is not None
    assert shop.composer.compose(TextRequest("fake", f"{TEXT}\nQ"), CAROL).documents == ()
    shop.close()


async def test_one_grant_opens_no_page_of_another_document(shop: GrantedShop, rights: PlannedRights) -> None:
    await shop.publish("secret", PRIVATE, "private")
    await shop.publish("third", THIRD, "granted")
    await shop.publish("rules", TEXT + "And more.", "granted")
    rights.grant("rules", "bob", version=1)
    assert shop.found(BOB, RULES) > 500
    for text in (PRIVATE, THIRD):
        assert shop.found(ALICE, TextPart(text)) > 500
        assert shop.found(BOB, TextPart(text), RULES) == 0
    # Version 2 begins with version 1: no page behind it is Bob's to take.
    whole = shop.found(ALICE, TextPart(TEXT + "And more."))
    assert shop.found(BOB, TextPart(TEXT + "And more.")) < whole
    with pytest.raises(DocumentNotFound):
        shop.prompt(BOB, DocumentPart(DocumentRef("rules", 2)))
    assert shop.prompt(BOB, RULES).documents[0].document.version == 1


async def test_a_revoked_grant_ends_with_the_next_request_though_its_pages_are_resident(
    shop: GrantedShop, rights: PlannedRights
) -> None:
    rights.grant("rules", "bob")
    assert shop.found(BOB, RULES) > 500
    rights.end("rules", "bob", "your grant was revoked.")
    with pytest.raises(PermissionDenied, match="revoked"):
        shop.found(BOB, RULES)
    assert shop.found(BOB, TextPart(TEXT)) == 0 and shop.found(ALICE, RULES) > 500


async def test_it_comes_back_after_a_restart(shop: GrantedShop, rights: PlannedRights) -> None:
    rights.grant("rules", "bob")
    expected = shop.found(BOB, RULES)
    again = shop.reopen()
    assert isinstance(again, GrantedShop)
    await again.publisher.restore()
    await again.publisher.refresh()
    assert again.found(BOB, RULES) == expected and await again.refs(CAROL) == []
    again.registry.close()


async def test_pins_quarantine_and_deletion(shop: GrantedShop, rights: PlannedRights) -> None:
    rights.grant("rules", "bob")
    info = (await shop.publisher.publish("rules", TEXT, "granted", ALICE, pinned=True)).info
    assert info.pinned and info.visibility == "granted"
    ref = shop.library.resolve(DocumentRef("rules"), ALICE).document.ref
    await shop.publisher.quarantine.confine({ref: "page 1 differs"})
    assert shop.prompt(BOB, RULES).documents[0].quarantined and shop.found(BOB, RULES) == 0
    await shop.publish("rules", TEXT, "granted")
    assert shop.found(BOB, RULES) > 500
    with pytest.raises(PermissionDenied):
        await shop.publisher.delete(DocumentRef("rules"), BOB)
    with pytest.raises(DocumentNotFound):
        await shop.publisher.delete(DocumentRef("rules"), CAROL)
    await shop.publisher.delete(DocumentRef("rules"), ALICE)
    assert await shop.refs(ALICE) == [] and shop.backend.disk == set()
    with pytest.raises(DocumentNotFound):
        shop.prompt(BOB, RULES)


async def test_a_reader_sees_the_metadata_and_not_the_text(shop: GrantedShop, rights: PlannedRights) -> None:
    rights.grant("rules", "bob")
    (info,) = await shop.publisher.list(BOB)
    assert (info.visibility, info.current) == ("granted", True)
    assert all(f.resident_tokens == f.tokens for f in info.framings)
    with pytest.raises(PermissionDenied):
        await shop.publisher.text(DocumentRef("rules"), BOB)
    assert await shop.publisher.text(DocumentRef("rules"), ALICE) == TEXT


async def test_its_text_goes_to_no_other_model(shop: GrantedShop, rights: PlannedRights) -> None:
    rights.grant("rules", "bob")
    asked = ChatRequest("fake", (Message("system", (RULES, TextPart("Be brief."))),))
    assert shop.composer.compose(asked, BOB).confined
    assert shop.composer.plain_call(asked, BOB)["messages"] == [
        {"role": "system", "content": "[rules@1]\nBe brief."}
    ]
    assert not shop.composer.compose(asked, ALICE).confined
    assert TEXT in shop.composer.plain_call(asked, ALICE)["messages"][0]["content"]
    with pytest.raises(InvalidRequest, match="of the roles system, tool, user only") as caught:
        shop.composer.compose(ChatRequest("fake", (Message("assistant", (RULES,)),)), BOB)
    assert caught.value.param == "messages[0].content[0].document"


async def test_a_verification_by_a_reader_compares_the_granted_pages(
    shop: GrantedShop, rights: PlannedRights
) -> None:
    rights.grant("rules", "bob")
    verifier = Verifier(shop.composer, shop.library, shop.backend, "fake")
    found = await verifier.verify(DocumentRef("rules"), BOB)
    assert len(found) == len(FRAMINGS) and all(v.exact and v.cached_tokens > 500 for v in found)


async def test_ids_of_granted_documents_are_their_publishers(shop: GrantedShop) -> None:
    for visibility in ("public", "granted"):
        with pytest.raises(PermissionDenied):
            await shop.publish("rules", "mine", visibility, BOB)
    assert str(await shop.publish("rules", "Bob's own.", "private", BOB)) == "rules@1"


async def test_a_document_changes_its_visibility_with_a_new_version(
    shop: GrantedShop, rights: PlannedRights
) -> None:
    assert str(await shop.publish("rules", TEXT)) == "rules@1", "without one it stays granted"
    assert str(await shop.publish("rules", TEXT, "private")) == "rules@2"
    assert str(await shop.publish("rules", TEXT, "granted")) == "rules@3"
    assert str(await shop.publish("rules", TEXT, "public")) == "rules@4"
    assert str(await shop.publish("rules", TEXT + "More.")) == "rules@5"
    assert await shop.refs(CAROL) == ["rules@4", "rules@5"]
    rights.grant("rules", "carol")
    assert await shop.refs(CAROL) == ["rules@1", "rules@3", "rules@4", "rules@5"]
    views = await shop.publisher.list(ALICE)
    assert [(i.version, i.visibility, i.current) for i in views] == [
        (1, "granted", False),
        (2, "private", False),
        (3, "granted", False),
        (4, "public", False),
        (5, "public", True),
    ]


@pytest.mark.parametrize(
    "calls", [s for s in SEQUENCES if "publish" not in s], ids=lambda calls: ", ".join(calls)
)
async def test_same_answer_and_same_work_where_another_publisher_has_granted_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rights: PlannedRights, calls: list[str]
) -> None:
    """For whoever has no grant, whatever is done with it, short of publishing for others under its id."""
    seen = []
    for somebody in (False, True):
        shop = GrantedShop(folder, tmp_path / str(somebody), set(), FRAMINGS)
        if somebody:
            for text in ("Another text.", TEXT):
                await shop.publish("secret", text, "granted")
        told = []
        for name in calls:
            before = set(shop.backend.disk)
            with monkeypatch.context() as patch:
                work = counted(shop, patch)
                told.append((name, await outcome(CALLS[name](shop)), work, writes(shop, before)))
        seen.append(told)
        shop.registry.close()
    assert seen[0] == seen[1]

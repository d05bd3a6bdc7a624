from __future__ import annotations

import pytest
from openai.types.responses import ResponseItemList

from kvproxy.errors import InvalidRequest
from kvproxy.events import Usage
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.responses.response_answer import complete_response
from kvproxy.wire.responses.stored_response import StoredResponse, page
from tests.wire.responses.test_conversation_items import normal
from tests.wire.responses.test_parse_response import IDS, opened_by

ITEMS = normal([{"role": "user", "content": text} for text in "abcde"])


def letters(**fields: object) -> str:
    wanted = {"limit": 20, "order": "asc", "after": None, **fields}
    found = page(ITEMS, **wanted)  # type: ignore[arg-type]  # the test's own keywords
    ResponseItemList.model_validate(found, strict=True)
    texts = [item["content"][0] for item in found["data"] if item["type"] == "message"]
    return "".join(text["text"] for text in texts if text["type"] == "input_text") + "+" * found["has_more"]


def test_a_stored_response_comes_back() -> None:
    response = complete_response(
        opened_by(), IDS, Answer("\udc80 é", "", (), (), "stop"), Usage(1, 1, 0), at=1
    )
    stored = StoredResponse(response, ITEMS)
    assert StoredResponse.decode(stored.encode()) == stored
    assert stored.conversation == [*ITEMS, response["output"][0]]


def test_pages() -> None:
    assert letters() == "abcde"
    assert letters(order="desc") == "edcba"
    assert letters(limit=2) == "ab+"
    assert letters(limit=2, after=ITEMS[1]["id"]) == "cd+"
    assert letters(limit=2, after=ITEMS[3]["id"]) == "e"
    assert letters(order="desc", after=ITEMS[1]["id"]) == "a"


def test_an_empty_page_has_no_ids() -> None:
    found = page([], limit=3, order="asc", after=None)
    assert (found["data"], found["first_id"], found["last_id"], found["has_more"]) == ([], None, None, False)


def test_after_an_item_of_another_response() -> None:
    with pytest.raises(InvalidRequest) as caught:
        page(ITEMS, limit=1, order="asc", after="msg_other")
    assert caught.value.param == "after"

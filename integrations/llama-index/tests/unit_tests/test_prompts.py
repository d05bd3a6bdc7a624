from __future__ import annotations

from llama_index.core.base.llms.types import MessageRole
from llama_index.core.schema import TextNode
from llama_index.llms.kvproxy import document_messages, qa_template, system_message

LEAVE, TRAVEL = TextNode(text="Leave is {30} days.", id_="leave"), TextNode(text="Trains only.", id_="travel")


def test_documents_first_in_one_order_question_last() -> None:
    messages = document_messages([TRAVEL, LEAVE, TRAVEL], "How many days?", "Be brief.")
    assert [m.role for m in messages] == [MessageRole.SYSTEM, MessageRole.USER]
    assert messages[0].content == "Leave is {30} days.\n\nTrains only.\n\nBe brief."
    assert messages[1].content == "How many days?"
    assert system_message([LEAVE, TRAVEL], "Be brief.") == messages[0]


def test_braces_in_instructions_and_texts_stay() -> None:
    system, user = qa_template('Say {"days": 1}.').format_messages(
        context_str="Leave is {30} days.", query_str="{?}"
    )
    assert system.content == 'Leave is {30} days.\n\nSay {"days": 1}.'
    assert user.content == "{?}"

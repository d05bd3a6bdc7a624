"""Prompts with documents at the head of the system message, where nothing but a role marker precedes them."""

from __future__ import annotations

from collections.abc import Iterable

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from .documents import NodeLike, texts_of

INSTRUCTIONS = "Answer from the text above, not from what you know besides."


def system_message(documents: Iterable[NodeLike], instructions: str = INSTRUCTIONS) -> ChatMessage:
    """Make a system message: the documents in canonical order, each once, then the instructions."""
    return ChatMessage(role=MessageRole.SYSTEM, content="\n\n".join([*texts_of(documents), instructions]))


def document_messages(
    documents: Iterable[NodeLike], question: str, instructions: str = INSTRUCTIONS
) -> list[ChatMessage]:
    """Make the messages for one question about documents, which stand in front.

    Example: ``llm.chat(document_messages(nodes, "How many days?", "Answer in one sentence."))``
    """
    return [system_message(documents, instructions), ChatMessage(role=MessageRole.USER, content=question)]


def qa_template(instructions: str = INSTRUCTIONS) -> ChatPromptTemplate:
    """Make a ``text_qa_template`` for query engines and response synthesizers: nodes, instructions, question last."""
    return ChatPromptTemplate(
        message_templates=[
            ChatMessage(role=MessageRole.SYSTEM, content="{context_str}\n\n" + instructions),
            ChatMessage(role=MessageRole.USER, content="{query_str}"),
        ]
    )


def context_template() -> PromptTemplate:
    """Make a ``context_template`` for ``ContextChatEngine`` and its kin: nodes, then the engine's ``system_prompt``."""
    return PromptTemplate("{context_str}\n\n")

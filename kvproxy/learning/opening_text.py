"""`opening_text`: the text at the front of a request that other requests may begin with too, if it can be learned."""

from __future__ import annotations

from kvproxy.core import ChatRequest, Prompt, TextPart, TextRequest

LEARNED = "learned/"
"""The beginning of the ids of learned documents."""


def opening_text(request: ChatRequest | TextRequest, prompt: Prompt) -> str | None:
    """Return the text at the head of the system message, or of the first user message where there is none before it.

    None for a request from which nothing may or can be learned:

    - its front is a document that somebody published;
    - an assistant has answered in it: a conversation's later turns repeat its first, and are no other reader;
    - the client says itself how much is kept (``explicit``);
    - it is a text completion: there is no framing where another text follows.

    Example:
        ``text = opening_text(request, prompt)``
    """
    if isinstance(request, TextRequest) or prompt.confined:
        return None
    if any(not span.document.id.startswith(LEARNED) for span in prompt.documents[:1]):
        return None
    if request.cache.explicit:
        return None
    messages = request.messages
    if any(message.role in ("assistant", "tool") for message in messages):
        return None
    first = messages[0].content[:1] if messages else ()
    # Parts are joined by the template's rules, and documents are found at the front of each: one part is one text.
    return first[0].text if first and isinstance(first[0], TextPart) else None

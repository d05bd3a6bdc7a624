"""`PlaygroundView`: the documents to choose from, and one question's two answers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kvproxy.core import Charge, DocumentRef
from kvproxy.example_documents import EXAMPLES

Side = Literal["cold", "warm"]

DEFAULT_QUESTION = "What is this text about? Answer in one sentence."
MOST_ANSWER = 512
"""Tokens of an answer that can be asked for here."""
DEFAULT_ANSWER = 48
NO_COLD = (
    "Not asked: it is read by a grant, and then always from its publisher's pages. There is no cold side."
)


@dataclass(frozen=True, slots=True)
class PlaygroundDocument:
    """A document to choose."""

    name: str
    """``handbook@3``."""
    tokens: int
    question: str
    """A question that makes sense of it."""


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """The form as it was sent, or its defaults."""

    document: str
    question: str
    answer_tokens: int = DEFAULT_ANSWER
    model: str = ""

    def body(self, side: Side, model: str) -> dict[str, Any]:
        """Return the chat completion that this question is: greedy, and for the cold side computed from scratch.

        Example: ``AskedQuestion("handbook@3", "Who signs?").body("cold", "qwen3-4b")``
        """
        named = {"type": "kv_document", "document": self.document}
        body: dict[str, Any] = {
            "model": model,
            "messages": [
                {"role": "system", "content": [named]},
                {"role": "user", "content": self.question},
            ],
            "max_completion_tokens": self.answer_tokens,
            "temperature": 0,
            "logprobs": True,
            "reasoning_effort": "none",
            "stream": True,
        }
        return body | {"kv_reuse": "none"} if side == "cold" else body


@dataclass(frozen=True, slots=True)
class SideAnswer:
    """One side's answer and its figures; ``fault`` where it was refused."""

    text: str = ""
    tokens: tuple[str, ...] = ()
    """The bytes of each token as hex: texts of half a character cannot be compared otherwise."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    ttft_s: float | None = None
    """From the request's arrival to the first token, as this server measured it."""
    total_s: float | None = None
    cause: str = ""
    """The reason of a miss."""
    charge: Charge | None = None
    fault: str = ""
    status: int = 200
    """The HTTP status that the answer had."""


@dataclass(frozen=True, slots=True)
class AnswerComparison:
    """The comparison of a question's two answers."""

    equal: bool
    same: int
    """Tokens from the first on that are equal."""
    of: int
    """Tokens of the longer answer."""
    ratio: float | None
    """The cold time to the first token over the warm one; None where one is unknown."""


@dataclass(frozen=True, slots=True)
class PlaygroundView:
    """The whole view."""

    documents: tuple[PlaygroundDocument, ...]
    asked: AskedQuestion
    models: tuple[str, ...]
    may_publish: bool
    example: str
    """The title of the example that can be published."""
    exact: bool
    """True where the engine has shown that kept pages give the bits of a prefill; False for a fleet."""
    priced: bool
    missing: str = ""
    """Why the document that the address names cannot be asked; empty where it can."""
    cold: SideAnswer | None = None
    warm: SideAnswer | None = None
    compared: AnswerComparison | None = None

    @property
    def no_cold(self) -> str:
        """The words for a cold side that a grant does not let in."""
        return NO_COLD

    @property
    def sides(self) -> tuple[tuple[Side, SideAnswer | None], ...]:
        """Both sides in the order in which they are asked."""
        return (("cold", self.cold), ("warm", self.warm))

    def bar(self, answer: SideAnswer | None) -> float:
        """Return a side's time to the first token as a part, 0 to 1, of the longer one."""
        times = [one.ttft_s for _, one in self.sides if one is not None and one.ttft_s]
        return answer.ttft_s / max(times) if answer is not None and answer.ttft_s else 0.0


def question_for(ref: DocumentRef) -> str:
    """Return a question about a document: its own where it is a bundled example's."""
    return next((one.questions[0] for one in EXAMPLES if one.id == ref.id), DEFAULT_QUESTION)


def compare_answers(cold: SideAnswer, warm: SideAnswer) -> AnswerComparison:
    """Compare two answers token by token, and their times to the first token.

    Example: ``compare_answers(SideAnswer(tokens=("48",)), SideAnswer(tokens=("48",))).equal``
    """
    pairs = zip(cold.tokens, warm.tokens, strict=False)
    same = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    if same is None:
        same = min(len(cold.tokens), len(warm.tokens))
    of = max(len(cold.tokens), len(warm.tokens))
    known = cold.ttft_s is not None and warm.ttft_s
    ratio = cold.ttft_s / warm.ttft_s if known and cold.ttft_s is not None and warm.ttft_s else None
    return AnswerComparison(same == of and cold.text == warm.text, same, of, ratio)


def asked_question(
    fields: Mapping[str, str], documents: Sequence[PlaygroundDocument], example: str
) -> AskedQuestion:
    """Return the question of a form or a query; what is missing or out of bounds is the default.

    Example: ``asked_question({"document": "handbook@3"}, documents, "apache-2.0")``
    """
    named = fields.get("document", "").strip()
    if not named and documents:
        first = next((one for one in documents if one.name.partition("@")[0] == example), documents[0])
        named = first.name
    question = fields.get("question", "").strip()
    if not question:
        question = question_for(DocumentRef(named.partition("@")[0]))
    wanted = fields.get("tokens", "")
    tokens = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 else DEFAULT_ANSWER
    return AskedQuestion(named, question, max(1, min(tokens, MOST_ANSWER)), fields.get("model", ""))

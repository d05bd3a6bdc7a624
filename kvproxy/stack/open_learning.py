"""Makes what follows the requests that were served: the reads of documents, and the texts that are learned."""

from __future__ import annotations

from collections.abc import Callable

from kvproxy.core import Hit
from kvproxy.explain.miss_explainer import AskedPrompt
from kvproxy.learning.learned_texts import LearnedTexts, LearningPolicy
from kvproxy.learning.text_learner import TextLearner
from kvproxy.publish import Publisher
from kvproxy.publishing.document_reads import DocumentReads
from kvproxy.settings.learning_settings import LearningSettings


def make_learned(settings: LearningSettings, publisher: Publisher) -> LearnedTexts | None:
    """Return the learned texts, whose ``run`` belongs into the background; None where nothing is to be learned.

    Example:
        ``learned = make_learned(config.learning, documents.publisher)``
    """
    if not settings.enabled:
        return None
    policy = LearningPolicy(settings.most_documents, settings.ttl_s)
    return LearnedTexts(publisher, TextLearner(settings.min_characters), publisher.reads, policy)


def noting(reads: DocumentReads, learned: LearnedTexts | None) -> Callable[[AskedPrompt], None]:
    """Return the function that the pipeline calls with each request that has its first token."""

    def note(asked: AskedPrompt) -> None:
        if isinstance(asked.decision, Hit):
            reads.note(asked.prompt.documents, asked.decision.cached_tokens)
        if learned is not None:
            learned.note(asked.request, asked.prompt, asked.caller)

    return note

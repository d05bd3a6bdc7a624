"""What an engine can never serve, said before a job is queued."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.engine.cache.kv_cache import pages_for
from kvproxy.engine.loop.sequence import Job
from kvproxy.errors import CannotFit, ContextTooLong, InvalidRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """``pages``: the whole page budget. ``vocabulary``: width of the model's logits."""

    max_context: int
    pages: int
    vocabulary: int

    def check(self, job: Job) -> None:
        """Raises ContextTooLong, CannotFit or InvalidRequest."""
        prompt, new = len(job.token_ids), job.max_tokens
        if prompt + new > self.max_context or prompt >= self.max_context:
            raise ContextTooLong(limit=self.max_context, prompt_tokens=prompt, completion_tokens=new)
        need = pages_for(prompt + max(new - 1, 0))
        if need > self.pages:
            raise CannotFit(
                f"This request needs {need} pages of KV ({prompt} prompt tokens and up to {new} new ones), "
                f"and the whole page budget is {self.pages} pages. Shorten it, lower max_tokens, or raise "
                "engine.page_budget."
            )
        # An id out of range would break the whole tile, and everybody in it.
        for ids, param in ((job.token_ids, "prompt"), (job.predicted, "prediction")):
            self._check_ids((min(ids), max(ids)) if ids else (), param)
        self._check_ids([i for i, _ in job.sampling.logit_bias], "logit_bias")
        self._check_ids(job.sampling.stop_token_ids, "stop_token_ids")

    def _check_ids(self, ids: tuple[int, ...] | list[int], param: str) -> None:
        wrong = next((i for i in ids if not 0 <= i < self.vocabulary), None)
        if wrong is not None:
            raise InvalidRequest(
                f"Invalid '{param}': {wrong} is no token of this model, whose ids are 0 to "
                f"{self.vocabulary - 1}.",
                param=param,
            )

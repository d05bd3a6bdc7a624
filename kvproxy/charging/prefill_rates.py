"""`PrefillRates`: how fast each model's prompts are computed here, from the prefills that were measured lately."""

from __future__ import annotations

from collections.abc import Callable

LEAST_TOKENS = 32
"""A prefill of fewer tokens shows the cost of a step and not the speed."""

_WEIGHT = 0.2
"""The weight of the newest prefill in the running mean."""


class PrefillRates:
    """Running means of tokens per second, by model. An estimate: no money follows from it."""

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}
        self._elsewhere: Callable[[str], float | None] = _nowhere

    def ask(self, speed: Callable[[str], float | None]) -> None:
        """Ask ``speed`` for a model's tokens per second until a prefill of it was measured; None where it knows none.

        Example: ``rates.ask({"qwen3-4b": 92.5}.get)``
        """
        self._elsewhere = speed

    def learn(self, model: str, tokens: int, seconds: float) -> None:
        """Add one prefill; one that is too short, or was not measured, changes nothing.

        Example: ``rates.learn("qwen3-4b", 3774, 12.5)``
        """
        if tokens < LEAST_TOKENS or seconds <= 0.0:
            return
        rate = tokens / seconds
        before = self._rates.get(model, rate)
        self._rates[model] = before + _WEIGHT * (rate - before)

    def saved_us(self, model: str, tokens: int) -> int:
        """Return the microseconds that a prefill of so many tokens takes; 0 where nothing is known of its speed."""
        if tokens and model not in self._rates and (rate := self._elsewhere(model)) is not None:
            self.learn(model, LEAST_TOKENS, LEAST_TOKENS / rate)
        known = self._rates.get(model)
        return 0 if known is None else round(tokens / known * 1e6)


def _nowhere(model: str) -> float | None:
    return None

"""`PrefillRates`: how fast each model's prompts are computed here, from the prefills that were measured lately."""

from __future__ import annotations

LEAST_TOKENS = 32
"""A prefill of fewer tokens shows the cost of a step and not the speed."""

_WEIGHT = 0.2
"""The weight of the newest prefill in the running mean."""


class PrefillRates:
    """Running means of tokens per second, by model. An estimate: no money follows from it."""

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}

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
        """Return the microseconds that a prefill of so many tokens takes; 0 where none was measured yet."""
        rate = self._rates.get(model)
        return 0 if rate is None else round(tokens / rate * 1e6)

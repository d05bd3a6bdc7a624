"""`SoleModel`: the only model of a proxy, for chat models without a `model` argument."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class SoleModel:
    """The served model's name, remembered after the first request for it; shared by the copies of a chat model."""

    def __init__(self) -> None:
        self.name: str | None = None

    def learn(self, listed: Iterable[Any], root: str) -> str:
        """Return and remember the only name in an answer of ``/v1/models``, other names of the same model aside.

        Raises:
            ValueError: The proxy serves several models, or none.
        """
        models = list(listed)
        ids: set[str] = {model.id for model in models}
        aliases: set[str] = {m.id for m in models if getattr(m, "root", None) in ids - {m.id}}
        names = sorted(ids - aliases)
        if len(names) != 1:
            served = f"serves {len(names)} models ({', '.join(names)})" if names else "serves no model"
            raise ValueError(f"{root} {served}: name one, ChatKVProxy(model=…)")
        self.name = names[0]
        return names[0]

"""A recipe by which one agent finds the proxy: variables, arguments, and files where it reads nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NO_KEY = "none"
"""For proxies that ask for no key: most clients refuse to start without one."""


@dataclass(frozen=True, slots=True)
class Door:
    """The address that an agent is sent to, and the model that it serves. ``root``: no ``/v1`` and no slash at its
    end."""

    root: str
    model: str
    max_context: int
    """Positions of prompt and answer together, as the proxy tells it."""
    api_key: str = NO_KEY

    @property
    def base_url(self) -> str:
        """As clients of OpenAI's dialect want it."""
        return f"{self.root}/v1"

    @property
    def answer_tokens(self) -> int:
        """Room that a client should leave for an answer, where it wants to be told: a quarter of the context."""
        return self.max_context // 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """``command`` is the program's name. Where its arguments come first (``llm -m x``) ``arguments`` says them."""

    command: str
    variables: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    """To be put right behind the program's name."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Text by file name. They stand in one folder; ``{folder}`` is its path in variables and arguments."""
    where: str = ""
    """The folder where the agent looks for them by itself."""
    note: str = ""
    """One sentence for the person, where there is something to know."""

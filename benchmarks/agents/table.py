"""The table of results, one row for each agent, for docs/clients.md."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.agents.session import Session

HEAD = (
    "| program | version | works | tool called | cached of prompt, second session | of what is identical | set |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True, slots=True)
class Row:
    """An agent's row. ``set``: names of the variables and options that it was given."""

    name: str
    version: str
    sessions: list[Session]
    set: list[str]

    @property
    def works(self) -> bool:
        return all(s.ended_well and s.requests and not s.refused for s in self.sessions)

    @property
    def line(self) -> str:
        second = self.sessions[-1]
        share = f"{100 * second.cached / second.identical:.1f} %" if second.identical else "-"
        return " | ".join(
            (
                f"| {self.name}",
                self.version,
                "yes" if self.works else f"NO ({self._fault})",
                second.called or "-",
                f"{second.cached:,} of {second.prompt_tokens:,}",
                share,
                f"{', '.join(self.set)} |",
            )
        )

    @property
    def _fault(self) -> str:
        refused = [told for session in self.sessions for told in session.refused]
        return "; ".join(refused[:2]) or "see its output"

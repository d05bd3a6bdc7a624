"""The documents that come with kvproxy, with questions about them: for its demo and its playground."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kvproxy.errors import SetupError


@dataclass(frozen=True, slots=True)
class ExampleDocument:
    """A document of this installation, and questions about it."""

    id: str
    title: str
    file: str
    questions: tuple[str, ...]


EXAMPLES = (
    ExampleDocument(
        "apache-2.0",
        "the Apache License 2.0",
        "apache-2.0.txt",
        (
            "What does this license say about patents? Answer in one sentence.",
            "Who may use the trademarks of the Licensor?",
            "What must be kept when the work is redistributed?",
        ),
    ),
    ExampleDocument(
        "gpl-3",
        "the GNU General Public License 3",
        "gpl-3.txt",
        (
            "What is the purpose of this license? Answer in one sentence.",
            "Is there any warranty for the program?",
            "What does the word 'propagate' mean here?",
        ),
    ),
)


def example_text(file: str) -> str:
    """Read an example document from the wheel, or from the checkout that this file stands in. Raises SetupError."""
    package = Path(__file__).parent
    for folder in (package / "examples", package.parent / "examples" / "documents"):
        if (folder / file).is_file():
            return (folder / file).read_text(encoding="utf-8")
    raise SetupError(f"the example document {file} is missing from this installation; install kvproxy again")

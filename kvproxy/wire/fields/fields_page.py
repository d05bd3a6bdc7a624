"""Generator of docs/fields.md: ``python -m kvproxy.wire.fields.fields_page > docs/fields.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from kvproxy.wire.fields.chat_fields import CHAT
from kvproxy.wire.fields.completion_fields import COMPLETIONS
from kvproxy.wire.fields.field import Field, Sort
from kvproxy.wire.fields.message_fields import MESSAGES
from kvproxy.wire.fields.response_fields import RESPONSES

ENDPOINTS: dict[str, Sequence[Field]] = {
    "POST /v1/chat/completions": CHAT,
    "POST /v1/responses": RESPONSES,
    "POST /v1/messages and /v1/messages/count_tokens": MESSAGES,
    "POST /v1/completions": COMPLETIONS,
}

_HEAD = """# Request fields

Every field of the current specifications, and its treatment by the local model. This page is generated from the table
in `kvproxy/wire/fields/` that the server itself reads:

    python -m kvproxy.wire.fields.fields_page > docs/fields.md

| word | means |
| --- | --- |
| enforced | honoured; a value that cannot be is a 400 that names the field |
| harmless | a hint: the answer without it answers the same question. Never refused, for any value or shape |
| harmless in some values | those values ask for nothing; any other is a 400, since the answer would be another one |
| refused | a 400 that names the field, since the answer would be another one |
| answered without | left out, and named in the response header `x-kvproxy-left-out` and in the log |

`null` asks for nothing everywhere. Fields that are not listed are ignored. `[]` stands for each item of a list,
`[type]` for those of one type; `*` in a type stands for anything. A field's row speaks for what is inside of it, unless
that has a row of its own. The settings in brackets are of the config's section `requests`.

Anthropic's `context_management` edits only ever take something out of the context: without them the
model sees and answers the whole conversation. One that keeps everything asks for nothing.

Requests for an upstream's model are passed on as they are.
"""


def page() -> str:
    """Return the Markdown of docs/fields.md."""
    return _HEAD + "".join(_section(title, fields) for title, fields in ENDPOINTS.items())


def _section(title: str, fields: Sequence[Field]) -> str:
    rows = "\n".join(_row(field) for field in _in_order(fields))
    return f"\n## {title}\n\n| field | | |\n| --- | --- | --- |\n{rows}\n"


def _in_order(fields: Sequence[Field]) -> Iterator[Field]:
    """Return the rows by name, the inner fields of a field behind it."""
    yield from sorted(fields, key=lambda field: field.path.replace("[", ".[").replace("*", "~").split("."))


def _row(field: Field) -> str:
    says = field.says
    if field.sort is Sort.NEUTRAL:
        says = f"{field.values}; otherwise refused: {says}"
    return f"| `{field.path}` | {field.sort} | {says} |".replace(" |  |", " | |")


if __name__ == "__main__":
    sys.stdout.write(page())

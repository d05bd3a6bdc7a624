"""Generator of docs/misses.md: ``python -m kvproxy.explain.misses_page > docs/misses.md``."""

from __future__ import annotations

import sys

from kvproxy.core import MissCause
from kvproxy.core.miss_remedies import REMEDIES

_HEAD = """# Why did it miss?

KV is shared from position 0 on, so one character that differs in front costs all that stands behind it. Every miss says
what differed:

    Cache-Status: kvproxy; fwd=miss; detail="no-document; cause=timestamp"

The first word is the reason, what was looked up and not found; the cause is what differed from the nearest text that
the caller may know of. It is looked for on a thread, while the prompt is computed, and left out of the header where it
was not known at the first token; `kvproxy watch`, `GET /kv/v1/requests` and `kvproxy_misses_total{reason,cause}` in
`/metrics` have it then too. Under a flood of misses some are not compared: `unknown`. `kvproxy bench explain TEXT`
measures what it costs: about a millisecond of that thread for a prompt of any length, where composing the prompt costs
6 ms (2,255 tokens) to 20 ms (6,617 tokens); the first token waits for it 0.5 ms at most.

To see the difference itself, save the request that a client sends and ask; nothing is sent to the model, and nothing is
charged or kept:

    kvproxy explain request.json                       # beside the nearest document or earlier request
    kvproxy explain request.json --against handbook    # beside one document: handbook, handbook@3
    kvproxy explain request.json --previous            # beside the earlier requests of this API key's tenant alone

```
miss: 0 of 3,774 tokens are kept (no-document)
cause: timestamp - a date or a time differs in front of text that is otherwise the same
compared with your request chatcmpl-6a1f of 09:31:12: 14 tokens in common
first difference: messages[0], character 17; token 14: '30' and '29'

  sent     ⏎Today is 2026-11-30.⏎You are the assistant of the help desk
  request  ⏎Today is 2026-11-29.⏎You are the assistant of the help desk
                             ^
-> move it behind the document, into the last message, or list `date` or `time` in requests.volatile_openings
```

The same by `POST /kv/v1/explain`, with the request's own fields and `against` or `previous` beside them, by
`Client.explain`, by the MCP server's tool `explain`, and in LangChain by `explain_prompt(..., client=client)`.

## Causes

This table is generated from the list that the server itself uses:

    python -m kvproxy.explain.misses_page > docs/misses.md

| cause | means | what to do |
| --- | --- | --- |
"""

_TAIL = """
Five of them are a fleet's own ([fleet.md](fleet.md)): `not-on-replica`, `evicted`, `spilled-for-load`, `other-salt` and
`rounded-to-block` follow from where the prompt was sent, and are known before its answer. A hit there may have one too:
the reason that there was no more of the document.

A cause is a reading of the first difference, by patterns, and no proof: the difference itself is what to believe. Of
several differences only the first counts, since what stands behind it cannot be shared anyway.

## What is remembered

Earlier requests are kept in memory, never on disk, as token ids and keyed digests, without their text; the text around
a difference is decoded from the ids when it is asked for. A conversation is kept once, as its latest turn.

| setting | means |
| --- | --- |
| `explain.keep` | false: no request is kept, and a miss is compared with documents alone |
| `explain.ttl_s` | seconds that one is kept |
| `explain.max_requests` | of each tenant |
| `explain.max_memory` | of all tenants, of which one may have a fourth |

- Requests are compared with their own tenant's alone, and within it with those of the same `cache_salt`.
- Of a request that is to leave nothing behind (`x-kvproxy-retention: none`, such an API key, or `store: false` where
  the operator says so) nothing is kept.
- Documents are compared in part only with the texts of those who may fetch them: public ones with everybody's, private
  and granted ones with their publisher's. Whoever reads a granted document by a grant learns nothing of where a text of
  its own parts from it; a prompt with such a document is compared up to where that begins, and is not remembered.
- A document whose grant has ended is named to those who had the grant, where they send its whole text, and to nobody
  else.
"""


def page() -> str:
    """Return the Markdown of docs/misses.md."""
    rows = "".join(
        f"| `{cause}` | {REMEDIES[cause].meaning} | {REMEDIES[cause].do} |\n" for cause in MissCause
    )
    return _HEAD + rows + _TAIL


if __name__ == "__main__":
    sys.stdout.write(page())

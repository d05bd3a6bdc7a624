"""Every field that the newest SDKs declare has a row in the table of request fields."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from kvproxy.wire.fields.chat_fields import CHAT
from kvproxy.wire.fields.completion_fields import COMPLETIONS
from kvproxy.wire.fields.field import Field
from kvproxy.wire.fields.message_fields import MESSAGES
from kvproxy.wire.fields.response_fields import RESPONSES
from tests.clients.programs import CURRENT, run

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KINDS: dict[str, Sequence[Field]] = {
    "openai.types.chat.completion_create_params:CompletionCreateParamsStreaming": CHAT,
    "openai.types.responses.response_create_params:ResponseCreateParamsStreaming": RESPONSES,
    "openai.types.completion_create_params:CompletionCreateParamsStreaming": COMPLETIONS,
    "anthropic.types.message_create_params:MessageCreateParamsStreaming": MESSAGES,
    "anthropic.types.message_count_tokens_params:MessageCountTokensParams": MESSAGES,
    "anthropic.types.beta.message_create_params:MessageCreateParamsStreaming": MESSAGES,
    "anthropic.types.beta.message_count_tokens_params:MessageCountTokensParams": MESSAGES,
}


def test_every_declared_field_has_a_row() -> None:
    done = run(CURRENT, "spec/declared_fields.py", *KINDS)
    assert done.returncode == 0, done.stderr
    declared = json.loads(done.stdout)
    found = {
        kind: [p for p in declared[kind] if not any(row.covers(p) for row in rows)]
        for kind, rows in KINDS.items()
    }
    assert found == {kind: [] for kind in KINDS}
    assert len(declared["anthropic.types.beta.message_create_params:MessageCreateParamsStreaming"]) > 500

from __future__ import annotations

import pytest

from kvproxy.errors import UnsupportedParameter
from kvproxy.wire.unsupported import refuse_unsupported, refuse_unsupported_message


def test_the_error_is_openais_for_an_unsupported_parameter() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        refuse_unsupported({"logprobs": True})
    assert caught.value.http_status == 400
    assert caught.value.body()["error"]["code"] == "unsupported_parameter"


def test_messages_are_named_by_their_place() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        refuse_unsupported_message({"role": "assistant", "audio": {"id": "x"}}, "messages[4]")
    assert caught.value.param == "messages[4].audio"
    refuse_unsupported_message({"role": "assistant", "audio": None, "tool_calls": []}, "messages[4]")

from __future__ import annotations

import pytest

from kvproxy.errors import UnsupportedParameter
from kvproxy.wire.unsupported import refuse_unsupported


def test_the_error_is_openais_for_an_unsupported_parameter() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        refuse_unsupported({"bad_words": ["x"]})
    assert caught.value.http_status == 400
    assert caught.value.body()["error"]["code"] == "unsupported_parameter"


def test_messages_are_named_by_their_place() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        refuse_unsupported({"messages": [7, {"role": "assistant", "audio": {"id": "x"}}]})
    assert caught.value.param == "messages[1].audio"
    refuse_unsupported({"messages": [{"role": "assistant", "audio": None}]})
    refuse_unsupported({"messages": "none"})

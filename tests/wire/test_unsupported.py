from __future__ import annotations

import pytest

from kvproxy.errors import UnsupportedParameter
from kvproxy.wire.unsupported import refuse_unsupported


def test_the_error_is_openais_for_an_unsupported_parameter() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        refuse_unsupported({"bad_words": ["x"]})
    assert caught.value.http_status == 400
    assert caught.value.body()["error"]["code"] == "unsupported_parameter"

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from kvproxy.wire.bodies.validation_errors import field_path, invalid


class Inner(BaseModel):
    model_config = ConfigDict(strict=True)
    size: int


class Outer(BaseModel):
    inner: list[Inner]


def test_field_paths_read_as_a_client_writes_them() -> None:
    assert field_path(("messages", 0, "content", 1, "type")) == "messages[0].content[1].type"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"inner": [{}]}, "Missing required parameter: 'inner[0].size'."),
        ({"inner": [{"size": "x"}]}, "Invalid 'inner[0].size': should be a valid integer, not a string."),
    ],
)
def test_messages(value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(value)
    assert invalid(caught.value).message == message
    assert invalid(caught.value).param == "inner[0].size"

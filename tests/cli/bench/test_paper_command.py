from __future__ import annotations

import pytest
from typer.testing import CliRunner

from kvproxy.cli.app import app


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--input-price", "0"], "give one above 0"),
        (["--input-price", "five"], "--input-price"),
        (["--egress-price", "1e-2"], "--egress-price"),
    ],
)
def test_a_wrong_option_ends_it_before_anything_is_measured(options: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["bench", "paper", *options])
    assert result.exit_code != 0
    assert told in f"{result.output}{result.exception}"

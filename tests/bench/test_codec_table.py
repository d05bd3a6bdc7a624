"""The printed result says what was measured, and what was not."""

from __future__ import annotations

import pytest

from kvproxy.bench.codec_table import print_codec

ROW = {
    **{"dtype": "bfloat16", "codec": "kv-rans-1", "ratio": 1.551, "ratio_k": 1.59, "ratio_v": 1.51},
    **{"encode_gbs": 0.2, "decode_gbs": 2.4, "two_threads": 1.9, "equal": True},
}
INT8 = {
    **{"scale": "channel", "ratio": 1.969, "positions": 200, "other_argmax": 4},
    **{"largest_difference": 0.5812, "equal_greedy": 19, "greedy_tokens": 64},
}
RESULT = {
    **{"model": "smollm2-135m", "tokens": 1024, "codecs": [ROW, {**ROW, "dtype": "float32"}], "int8": [INT8]},
    **{"not_measured": ["blosc2"], "shipping_needs": 2.6, "best_ratio": 1.551, "reaches_shipping": False},
}


def test_ratios_speeds_and_the_verdict_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    print_codec(RESULT)
    said = " ".join(capsys.readouterr().out.split())
    for part in ("kv-rans-1", "1.551", "float32", "2.40", "1.90x", "blosc2", "its time included"):
        assert part in said
    assert "no lossless code here reaches it" in said and "a ratio of 2.6" in said
    assert "19 of 64" in said and "0.581" in said

"""The offline check of a file."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvproxy.errors import DocumentRejected, SignatureRefused
from tests.document_files.hosts import (
    Exported,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bit_of_a_file_can_change(exported: Exported, tmp_path_factory: Any, data: st.DataObject) -> None:
    """Any changed byte is found by the offline check, whatever section it is in."""
    from kvproxy.document_files.file_check import check_file

    at = data.draw(st.integers(0, len(exported.file) - 1))
    file = bytearray(exported.file)
    file[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flipped") / "x.kvdoc"
    path.write_bytes(file)
    with pytest.raises((DocumentRejected, SignatureRefused)):
        asyncio.run(check_file(path, exported.keys.jwks()))

"""The header that names the fields a request was answered without."""

from __future__ import annotations

from kvproxy.core import LeftOut
from kvproxy.wire.answers.left_out import LEFT_OUT, MOST, left_out_header


def test_nothing_left_out_is_no_header() -> None:
    assert left_out_header(()) == {}


def test_each_entry_is_a_string_of_a_structured_list() -> None:
    entries = (LeftOut("tools[3]", "web_search"), LeftOut("messages[1].content[0]", "image"))
    assert left_out_header(entries) == {LEFT_OUT: '"tools[3]: web_search", "messages[1].content[0]: image"'}


def test_it_does_not_grow_with_a_request() -> None:
    (value,) = left_out_header([LeftOut("x" * 1000, "y" * 1000)] * 1000).values()
    assert value.endswith(f'"and {1000 - MOST} more"')
    assert len(value) < 4000


def test_no_text_of_a_client_can_end_the_header() -> None:
    (value,) = left_out_header([LeftOut('a"b\r\nc', "é")]).values()
    assert value == '"a\\"b%0D%0Ac: %C3%A9"'

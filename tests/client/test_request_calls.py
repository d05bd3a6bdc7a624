"""``Client.explain`` sends the request's own fields, and the question beside them."""

from __future__ import annotations

from kvproxy import Client
from tests.fake_proxy import running
from tests.terminal.test_explanation_text import TOLD

BODY = {"messages": [{"role": "user", "content": "q"}]}


def test_a_request_is_explained() -> None:
    with running() as proxy, Client(proxy.url) as client:
        proxy.explanation = TOLD
        assert client.explain(BODY) == TOLD
        client.explain(BODY, against="handbook@3")
        client.explain(BODY, previous=True)
    assert proxy.explained == [BODY, {**BODY, "against": "handbook@3"}, {**BODY, "previous": True}]

from __future__ import annotations

import pytest

from kvproxy.server.middleware.request_id import request_id_from
from tests.server.doubles import ask, client_of, make_proxy


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("abc-1", "abc-1"), ("a\r\nb\x1b[31m\u00e9", "ab[31m"), ("x" * 500, "x" * 128)],
)
def test_a_clients_id_is_kept_without_what_could_harm_a_log(sent: str, kept: str) -> None:
    assert request_id_from(sent) == kept


def test_without_one_an_id_is_made() -> None:
    made = {request_id_from(x) for x in (None, "", "\u00e9", None)}
    assert len(made) == 4 and all(x.startswith("req_") for x in made)


async def test_every_answer_has_it() -> None:
    async with client_of(make_proxy()) as http:
        for response in (
            await http.post("/v1/chat/completions", json=ask(stream=True), headers={"x-request-id": "mine"}),
            await http.post("/v1/chat/completions", data=b"{", headers={"x-request-id": "mine"}),
            await http.get("/nowhere", headers={"x-request-id": "mine"}),
            await http.get("/health/live", headers={"x-request-id": "mine"}),
        ):
            await response.read()
            assert response.headers["x-request-id"] == "mine"
        assert (await http.get("/v1/models")).headers["x-request-id"].startswith("req_")

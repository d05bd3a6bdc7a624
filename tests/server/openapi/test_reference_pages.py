from __future__ import annotations

import pytest

from tests.server.doubles import client_of, make_proxy


@pytest.mark.parametrize(
    ("path", "content_type"), [("/openapi.json", "application/json"), ("/docs", "text/html")]
)
async def test_it_is_read_without_a_key_and_to_the_end(path: str, content_type: str) -> None:
    proxy = make_proxy(api_keys=(("ann", "ann-key-0123456789"),))
    async with client_of(proxy) as http:
        proxy.drain.begin()
        response = await http.get(path)
        assert (response.status, response.content_type) == (200, content_type)
        assert "'none'" in response.headers["Content-Security-Policy"]
        etag = response.headers["ETag"]
        for known, status in ((etag, 304), ("*", 304), ('"x"', 200)):
            again = await http.get(path, headers={"If-None-Match": known})
            assert (again.status, again.headers["ETag"]) == (status, etag)
        assert (await http.get("/health/nowhere")).status == 401


async def test_it_names_the_model_that_is_served() -> None:
    async with client_of(make_proxy()) as http:
        document = await (await http.get("/openapi.json")).json()
        assert '"model": "fake"' in (await (await http.get("/docs")).text()).replace("&quot;", '"')
    chat = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    assert chat["content"]["application/json"]["example"]["model"] == "fake"
    model = document["paths"]["/v1/models/{model}"]["get"]["parameters"][0]
    assert model["example"] == "fake"

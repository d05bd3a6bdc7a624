from __future__ import annotations

from pydantic import TypeAdapter

from kvproxy.wire.service.model_list import AnthropicModelList, ModelList
from tests.server.doubles import Http, client_of, make_proxy
from tests.server.raw_http import Raw, exchange, request

ANTHROPIC = {"anthropic-version": "2023-06-01"}
ALIASES = {"claude-*": "fake", "small": "fake", "org/far": "gpt-far"}


async def ids(http: Http, query: str = "") -> list[str]:
    listed = await (await http.get(f"/v1/models{query}", headers=ANTHROPIC)).json()
    return [model["id"] for model in listed["data"]]


async def test_list_and_get() -> None:
    async with client_of(make_proxy(max_context=2048, aliases=ALIASES)) as http:
        answer = await http.get("/v1/models")
        listed = TypeAdapter(ModelList).validate_python(await answer.json(), strict=True)
        assert "anthropic-version" in answer.headers["Vary"]
        assert [m["id"] for m in listed["data"]] == ["fake", "gpt-far", "small", "org/far"]
        assert [m["root"] for m in listed["data"]] == ["fake", "gpt-far", "fake", "gpt-far"]
        lengths = [(m["max_model_len"], m["context_window"], m["context_length"]) for m in listed["data"]]
        assert lengths == [(2048,) * 3, (None,) * 3, (2048,) * 3, (None,) * 3]
        for model in listed["data"]:
            assert await (await http.get(f"/v1/models/{model['id']}")).json() == model
        assert (await (await http.get("/v1/models/org%2Ffar")).json())["id"] == "org/far"
        assert (await (await http.get("/v1/models/FAKE")).json())["id"] == "fake"
        assert (await (await http.get("/v1/models/claude-opus-4")).json())["id"] == "fake"


async def test_unknown_names_with_slashes_too() -> None:
    async with client_of(make_proxy()) as http:
        for name in ("org/nope", "..", "fake/../gpt-far", "fake/", "fa%2Fke", "fake%00"):
            response = await http.get(f"/v1/models/{name}") if "." not in name else await raw_get(http, name)
            assert response.status == 404, name
        response = await http.get("/v1/models/org/nope", headers=ANTHROPIC)
        told = await response.json()
        assert (response.status, told["type"], told["error"]["type"]) == (404, "error", "not_found_error")


async def raw_get(http: Http, name: str) -> Raw:
    return await exchange(http, request(f"GET /v1/models/{name}", "Connection: close"))


async def test_anthropics_clients_get_anthropics_shape() -> None:
    async with client_of(make_proxy(max_context=2048, aliases=ALIASES)) as http:
        answer = await http.get("/v1/models", headers=ANTHROPIC)
        listed = TypeAdapter(AnthropicModelList).validate_python(await answer.json(), strict=True)
        assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "fake", "org/far")
        first, far, small, _ = listed["data"]
        assert first == {
            "type": "model",
            "id": "fake",
            "display_name": "fake",
            "created_at": "2023-11-14T22:13:20Z",
            "lifecycle": "active",
            "capabilities": None,
            "max_input_tokens": 2048,
            "max_tokens": 2048,
        }
        assert far["max_input_tokens"] is None and small["display_name"] == "small (fake)"
        assert await (await http.get("/v1/models/small", headers=ANTHROPIC)).json() == small


async def test_anthropics_pages() -> None:
    async with client_of(make_proxy(aliases=ALIASES)) as http:
        assert await ids(http, "?limit=3") == ["fake", "gpt-far", "small"]
        assert await ids(http, "?after_id=gpt-far&limit=1") == ["small"]
        assert await ids(http, "?after_id=org/far") == []
        assert await ids(http, "?before_id=org/far&limit=2") == ["gpt-far", "small"]
        assert await ids(http, "?before_id=fake") == await ids(http, "?after_id=nobody") == []
        for query, more in (("?limit=3", True), ("?limit=4", False), ("?before_id=small&limit=1", True)):
            assert (await (await http.get(f"/v1/models{query}", headers=ANTHROPIC)).json())[
                "has_more"
            ] is more
        for query in ("?limit=0", "?limit=x", "?limit=1001"):
            answer = await http.get(f"/v1/models{query}", headers=ANTHROPIC)
            assert (answer.status, (await answer.json())["type"]) == (400, "error")
        assert len((await (await http.get("/v1/models?limit=1")).json())["data"]) == 4

from __future__ import annotations

from tests.server.doubles import client_of, make_proxy


async def test_list_and_get() -> None:
    async with client_of(make_proxy()) as http:
        listed = await (await http.get("/v1/models")).json()
        assert listed["object"] == "list"
        assert [m["id"] for m in listed["data"]] == ["fake", "gpt-far"]
        for model in listed["data"]:
            assert model.keys() == {"id", "object", "created", "owned_by"}
            assert await (await http.get(f"/v1/models/{model['id']}")).json() == model


async def test_unknown_names_with_slashes_too() -> None:
    async with client_of(make_proxy()) as http:
        response = await http.get("/v1/models/org/nope")
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "model_not_found"

"""Embeddings are answered by upstreams only."""

from __future__ import annotations

from tests.server.doubles import client_of, make_proxy


async def test_the_local_model_makes_none() -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post("/v1/embeddings", json={"model": "fake", "input": "Hi"})
        error = (await response.json())["error"]
    assert response.status == 400 and error["param"] == "model" and "makes no embeddings" in error["message"]


async def test_an_upstream_is_asked() -> None:
    proxy = make_proxy()
    asked = {"model": "gpt-far", "input": "Hi", "stream": True}
    async with client_of(proxy) as http:
        response = await http.post("/v1/embeddings", json=asked)
        assert response.content_type == "application/json"
    assert proxy.misses.bodies == [asked]


async def test_a_model_that_is_not_served() -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post("/v1/embeddings", json={"model": "x", "input": "Hi"})
    assert response.status == 404

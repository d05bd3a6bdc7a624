from __future__ import annotations

from tests.server.doubles import client_of, make_proxy


async def test_ready_only_when_a_request_would_be_served() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        assert (await http.get("/health/ready")).status == 200
        proxy.backend.not_ready = "loading the model"
        response = await http.get("/health/ready")
        assert response.status == 503
        assert "loading the model" in (await response.json())["error"]["message"]
        assert (await http.get("/health/live")).status == 200
        proxy.backend.not_ready = None
        proxy.drain.begin()
        response = await http.get("/health/ready")
        assert (response.status, (await response.json())["error"]["code"]) == (503, "shutting_down")
        assert (await http.get("/health/live")).status == 200


async def test_the_lifespan_is_entered_and_left() -> None:
    proxy = make_proxy()
    async with client_of(proxy):
        assert proxy.events == ["start"]
    assert proxy.events == ["start", "stop"]

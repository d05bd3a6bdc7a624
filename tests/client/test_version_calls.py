"""The client's calls about the life of versions, against the real HTTP application over the fake backend."""

from __future__ import annotations

import pytest

from kvproxy import Client, DocumentNotFound, RequestFailed
from tests.client.test_against_server import KEY, TEXT, using
from tests.server.doubles import make_proxy


async def test_a_version_is_named_touched_counted_and_revoked() -> None:
    def life(client: Client) -> None:
        published = client.publish("law/handbook", TEXT, ttl_s=60)
        assert published["info"]["expires"] == 60
        alias = client.set_alias("law/handbook", "stable")
        assert alias["document"] == "law/handbook@1" and alias["etag"] == published["info"]["etag"]
        client.delete_alias("law/handbook", "stable")
        assert client.touch("law/handbook@1", None)["expires"] is None
        usage = client.usage()
        assert usage["quota"]["versions"] == 100 and usage["withdrawn"] == []
        assert client.revoke("law/handbook", "it was wrong") == ["law/handbook@1"]
        for call in (
            lambda: client.delete_alias("law/handbook", "stable"),
            lambda: client.touch("law/handbook", 1),
            lambda: client.revoke("law/handbook", "again"),
        ):
            with pytest.raises(RequestFailed) as caught:
                call()
            assert caught.value.kind is DocumentNotFound

    await using(make_proxy(api_keys=(("alice", KEY),)), life)

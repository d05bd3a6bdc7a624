from __future__ import annotations

from kvproxy.manifests.manifest import MANIFEST_TYP
from kvproxy.receipts.canonical_jws import unverified_claims
from tests.document_files.conftest import importer, small, texts
from tests.document_files.hosts import TEXT, Host
from tests.document_files.served_host import bearer, served
from tests.server.doubles import client_of, make_proxy

__all__ = ["importer", "small", "texts"]
PATH = "/kv/v1/documents/handbook/manifest"


async def test_it_is_signed_and_shown_to_those_who_may_see_the_document(importer: Host) -> None:
    body = {"id": "handbook", "text": TEXT, "visibility": "private"}
    async with client_of(served(importer)) as http:
        assert (await http.get(PATH, headers=bearer("alice"))).status == 404
        await http.post("/kv/v1/documents", json=body, headers=bearer("alice"))
        response = await http.get(PATH, headers=bearer("alice"))
        assert (response.status, response.content_type) == (200, "application/json")
        told = await response.json()
        assert (told["object"], told["document"]) == ("kv_manifest", "handbook@1")
        claims = importer.keys.verify(told["jws"], MANIFEST_TYP)
        assert claims == told["claims"] and claims["document"]["characters"] == len(TEXT)
        # The same for one version, and as the bare JWS.
        jose = {**bearer("alice"), "Accept": "application/jose"}
        bare = await http.get("/kv/v1/documents/handbook@1/manifest", headers=jose)
        assert (bare.content_type, await bare.text()) == ("application/jose", told["jws"])
        # It is private: to others it does not exist, whatever they may do otherwise.
        for other in ("bob", "boss", "reader"):
            assert (await http.get(PATH, headers=bearer(other))).status == 404
        assert (await http.get(PATH)).status == 401
        for wrong, status in (("handbook@2", 404), ("handbook@latest@1", 400)):
            response = await http.get(f"/kv/v1/documents/{wrong}/manifest", headers=bearer("alice"))
            assert response.status == status


async def test_what_verify_measures_is_in_it(importer: Host) -> None:
    body = {"id": "handbook", "text": TEXT, "visibility": "public"}
    async with client_of(served(importer)) as http:
        await http.post("/kv/v1/documents", json=body, headers=bearer("alice"))
        before = await (await http.get(PATH, headers=bearer("reader"))).json()
        assert before["claims"]["verified"] is None
        verified = await http.post("/kv/v1/documents/handbook/verify?tokens=2", headers=bearer("alice"))
        assert (await verified.json())["exact"]
        after = await (await http.get(PATH, headers=bearer("reader"))).json()
    told = after["claims"]["verified"]
    assert told["exact"] and told["pages"] == told["equal_pages"] == 6 and told["largest_difference"] == "0"
    assert unverified_claims(after["jws"])["verified"] == told


async def test_a_document_that_is_called_so_comes_first(importer: Host) -> None:
    async with client_of(served(importer)) as http:
        for id, text in (("handbook", TEXT), ("handbook/manifest", TEXT[:900])):
            await http.post("/kv/v1/documents", json={"id": id, "text": text}, headers=bearer("alice"))
        described = await (await http.get(PATH, headers=bearer("alice"))).json()
    assert described["id"] == "handbook/manifest"


async def test_a_proxy_without_keys_has_none() -> None:
    async with client_of(make_proxy()) as http:
        response = await http.get(PATH)
        assert response.status == 404 and (await response.json())["error"]["code"] == "unknown_url"

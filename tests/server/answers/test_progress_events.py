from __future__ import annotations

from kvproxy.errors import StorageFull
from tests.server.doubles import client_of, make_proxy
from tests.server.routes.test_documents_route import DOCUMENTS, TEXT, events_of


async def test_progress_comes_at_intervals_then_the_result_or_the_error() -> None:
    proxy = make_proxy(start_delay_s=0.15)
    async with client_of(proxy) as http:
        for refuse, last in ((None, "result"), (StorageFull("the disk is full"), "error")):
            proxy.publisher.refuse = refuse
            body = {"id": "handbook", "text": TEXT}
            response = await http.post(f"{DOCUMENTS}?stream=true", json=body)
            *progress, (name, data) = events_of(await response.text())
            assert progress and {n for n, _ in progress} == {"progress"} and name == last
            counts = [d["done"] for _, d in progress]
            assert counts == sorted(counts) and all(d["tokens_per_s"] > 0 for _, d in progress if d["done"])
            if refuse is not None:
                assert data["error"]["code"] == "storage_full"

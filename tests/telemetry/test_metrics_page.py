"""docs/metrics.md has every metric, as the registry has it; and no label of a real scrape holds an id."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from kvproxy.telemetry.metrics import HELP
from kvproxy.telemetry.metrics_page import metric_names, page
from tests.server.doubles import ask, client_of, make_proxy

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

ODD = ("vertraulich\u00fcber-uns", 'quo"te', "new\\line", "x" * 200, "secret-plan")


def test_the_page_is_the_registry() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run: python -m kvproxy.telemetry.metrics_page > docs/metrics.md"
    )
    for name in ("kvproxy_prompt_tokens_total", "kvproxy_build_info", "process_cpu_seconds_total"):
        assert f"| `{name}` |" in page()
    assert "| `kvproxy_prompt_tokens_total` | counter | `source` |" in page()
    assert all(f"kvproxy_{name}" in page() for name in HELP)


def test_names_have_their_suffixes() -> None:
    names = metric_names()
    assert {"kvproxy_time_to_first_token_seconds_bucket", "kvproxy_ready", "kvproxy_replica_up"} <= names
    assert "kvproxy_requests" not in names and not any(name.endswith("_created") for name in names)


async def test_no_label_holds_what_a_client_sent() -> None:
    async with client_of(make_proxy()) as http:
        for id in ODD:
            await (await http.post("/kv/v1/documents", json={"id": id, "text": f"{id} " * 60})).read()
            await (await http.get(f"/kv/v1/documents/{id}".replace("\\", "%5C"))).read()
            await (await http.get(f"/no/such/{id}".replace("\\", "%5C"))).read()
            body = ask(f"{id} " * 60 + "And?", model="fake", user=id)
            await (await http.post("/v1/chat/completions", json=body, headers={"x-request-id": "r"})).read()
            await (await http.post("/v1/chat/completions", json={**body, "model": id})).read()
        text = await (await http.get("/metrics")).text()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    values = {value for sample in samples for value in sample.labels.values()}
    assert len(values) > 50
    assert not [value for value in values for id in ODD if id in value]
    assert {sample.name for sample in samples if not sample.name.endswith("_created")} <= metric_names()
    assert any(sample.name == "process_resident_memory_bytes" and sample.value > 0 for sample in samples)

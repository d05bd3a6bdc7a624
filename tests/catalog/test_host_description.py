from __future__ import annotations

from kvproxy.catalog.host_description import ENDPOINTS, HostedModel, MarketHost, well_known
from kvproxy.server.openapi.operations import OPERATIONS
from kvproxy.tariffs import ModelPrices, Tariff

HOST = MarketHost("kv.example", (HostedModel("qwen3-4b", "f" * 8, 32_768),))


def test_prices_are_decimals_of_the_valid_tariff() -> None:
    tariff = Tariff.of("EUR", 0, {"qwen3-4b": ModelPrices(input=5 * 10**9, output=15 * 10**9, publishing=1)})
    told = well_known(HOST, {"keys": []}, checkpoint_key="k", tariff=tariff, payment_methods=["evm"])
    prices = told["models"][0]["prices"]
    assert prices is not None and prices["input"] == "5" and prices["publishing"] == "0.000000001"
    assert (told["currency"], told["tariff"], told["payment_methods"]) == ("EUR", tariff.id, ["evm"])


def test_a_host_without_prices_or_a_public_address() -> None:
    other = Tariff.of("EUR", 0, {"another": ModelPrices(input=1, output=1)})
    for tariff in (None, other):
        told = well_known(HOST, {"keys": []}, checkpoint_key="k", tariff=tariff)
        assert told["models"][0]["prices"] is None
    assert told["endpoints"]["catalog"] == "/kv/v1/catalog" and told["host"]["url"] is None


def test_its_addresses_are_served() -> None:
    paths = {operation.path for operation in OPERATIONS}
    missing = [path for path in ENDPOINTS.values() if path not in paths | {"/v1"}]
    assert missing == []

"""The seconds of compute by tenant, and the bound of a debt."""

from __future__ import annotations

from math import inf

import pytest

from kvproxy.engine.loop.fairness.compute_service import MOST_OWED_S, ComputeService


def test_a_tile_is_paid_for_by_its_rows() -> None:
    service = ComputeService()
    service.set_tenants({"a", "b"})
    service.charge([("a", 30), ("b", 1), ("a", 1), (None, 8)], 4.0)
    assert service.used_s("a") == pytest.approx(3.1) and service.used_s("b") == pytest.approx(0.1)
    assert service.used_s(None) == inf


def test_a_new_tenant_begins_with_the_least_seconds_of_all() -> None:
    service = ComputeService()
    service.set_tenants({"a", "b"})
    service.charge([("a", 1)], 0.5)
    service.charge([("b", 1)], 0.2)
    service.set_tenants({"a", "b", "c"})
    assert service.used_s("c") == pytest.approx(0.2)


def test_the_debt_to_a_tenant_is_bounded() -> None:
    service = ComputeService()
    service.set_tenants({"a", "b"})
    service.charge([("a", 1)], 3600.0)
    service.set_tenants({"a", "b"})
    assert service.used_s("a") - service.used_s("b") == pytest.approx(MOST_OWED_S)


def test_tenants_without_sequences_are_forgotten() -> None:
    service = ComputeService()
    service.set_tenants({"a"})
    service.charge([("a", 1)], 10.0)
    service.set_tenants(set())
    service.set_tenants({"a", "b"})
    assert service.used_s("a") == service.used_s("b") == 0.0

from __future__ import annotations

from kvproxy.server.openapi.operations import OPERATIONS
from kvproxy.server.openapi.operations.residency_operations import RESIDENCY


def test_they_stand_before_the_pattern_that_matches_their_paths_too() -> None:
    order = [operation.id for operation in OPERATIONS]
    assert all(order.index(o.id) < order.index("retrieveDocument") for o in RESIDENCY)


def test_only_a_publisher_may_call_them_and_each_path_may_have_slashes() -> None:
    assert {o.needs for o in RESIDENCY} == {"publish"}
    assert all(o.route.startswith("/kv/v1/documents/{document:.+}/") for o in RESIDENCY)

"""Requests with one prefix share its prefill, within the scopes that they may read."""

from __future__ import annotations

from typing import Any

from kvproxy.engine.loop.sequence import Phase
from tests.engine.harness import EngineHarness, HarnessMaker
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import prompt


class TestSingleFlight:
    def test_readers_of_one_prefix_compute_it_once(self, rigs: HarnessMaker, stepped: SteppedModel) -> None:
        rig = rigs(stepped.model)
        shared = prompt(1, 900)
        asked = [shared + prompt(50 + i, 20) for i in range(4)]
        alone = [rig.cold(t).answer for t in asked]
        stepped.hold()
        before = stepped.rows
        rig.submit(prompt(99, 30), scope="z")  # Keeps the engine busy until all have arrived.
        streams = [rig.submit(t) for t in asked]
        stepped.go()
        assert [s.end().answer for s in streams] == alone
        rig.settle()
        assert stepped.rows - before == 900 + 4 * 20 + 4 * 3 + 30 + 3
        started = [s.started for s in streams]
        assert [s.collapsed for s in started if s] == [False, True, True, True]
        assert [s.cached for s in streams] == [0, 900, 900, 900]

    def test_a_reader_of_another_scope_shares_nothing(
        self, rigs: HarnessMaker, stepped: SteppedModel
    ) -> None:
        rig = rigs(stepped.model)
        stepped.hold()
        one = rig.submit(prompt(1, 600), scope="a", readable=("public", "a"))
        two = rig.submit(prompt(1, 600), scope="b", readable=("public", "b"))
        stepped.go()
        assert one.end().answer == two.end().answer
        assert (one.cached, two.cached) == (0, 0)
        assert two.started is not None and not two.started.collapsed
        later = rig.run(prompt(1, 600), scope="c", readable=("public", "c"), max_tokens=1)
        assert later.cached == 0

    def test_a_published_prefix_is_shared_across_scopes_and_no_more_than_that(
        self, rigs: HarnessMaker, stepped: SteppedModel
    ) -> None:
        rig = rigs(stepped.model)
        tokens = prompt(1, 900)
        public: dict[str, Any] = {"shared_end": 700, "shared_scope": "public"}
        stepped.hold()
        one = rig.submit(tokens, scope="a", readable=("public", "a"), **public)
        two = rig.submit(tokens, scope="b", readable=("public", "b"), **public)
        stepped.go()
        assert one.end().answer == two.end().answer
        assert two.cached == 512, "full pages of the published part, not the other tenant's rest"
        assert two.started is not None and two.started.collapsed
        third = rig.run(tokens, scope="c", readable=("public", "c"))
        assert third.cached == 512

    def test_another_tenants_private_rest_is_not_waited_for(
        self, rigs: HarnessMaker, stepped: SteppedModel
    ) -> None:
        """Else its prefill could be told from the time that one's own takes."""
        rig = rigs(stepped.model)
        tokens = prompt(1, 1900)
        public: dict[str, Any] = {"shared_end": 256, "shared_scope": "public", "max_tokens": 1}
        stepped.hold()
        one = rig.submit(tokens, scope="a", readable=("public", "a"), **public)
        two = rig.submit(tokens[:1800], scope="b", readable=("public", "b"), **public)
        left_at: list[int] = []

        def watch() -> None:
            if two.sequence.phase is not Phase.FOLLOWING and not left_at and one.sequence.computed > 0:
                left_at.append(one.sequence.computed)

        stepped.go()
        while one.sequence.phase is not Phase.ENDED:
            rig.on_engine(watch)
        one.end()
        assert two.end().error is None
        assert left_at and left_at[0] <= 768

    def test_when_the_leader_leaves_a_follower_takes_over(
        self, rigs: HarnessMaker, stepped: SteppedModel
    ) -> None:
        rig = rigs(stepped.model)
        tokens = prompt(1, 1500)
        cold = rig.cold(tokens).answer
        stepped.hold()
        leader, one, two = (rig.submit(tokens) for _ in range(3))
        rig.engine.cancel(leader.sequence)
        stepped.go()
        assert one.end().answer == cold and two.end().answer == cold

    def test_a_follower_goes_on_at_once_when_its_leader_ends_with_its_first_token(
        self, rig: EngineHarness
    ) -> None:
        """Nothing else happens in the engine then: it must not sleep until somebody knocks."""
        tokens = prompt(1, 1200)
        leader = rig.submit(tokens, max_tokens=1)
        follower = rig.submit((*tokens, 5, 6, 7), max_tokens=2)
        assert leader.end().error is None
        assert follower.end().error is None

from kvproxy.bench.fleet_simulation.simulated_fleet import ReplicaPlan, ServedTurn
from kvproxy.bench.fleet_simulation.simulation_figures import (
    decision_figures,
    recovery,
    run_figures,
    windowed,
)


def test_figures_leave_out_the_warm_up() -> None:
    plan = ReplicaPlan(replicas=2, prefill_tokens_per_s=100.0, step_s=1.0)
    served = [
        ServedTurn(0.0, 100, 0, 9.0, "replica-0", False),
        ServedTurn(5.0, 100, 100, 1.0, "replica-0", False),
        ServedTurn(6.0, 300, 100, 3.0, "replica-1", True),
    ]
    got = run_figures(served, 5.0, plan)
    assert got["requests"] == 2 and got["hit_rate"] == 0.5 and got["spilled"] == 0.5
    assert got["imbalance"] == 1.5  # 3 s busy, where the mean is 2 s
    assert got["first_token_p50_s"] == 2.0


def test_recovery_is_measured_against_the_undisturbed_run() -> None:
    whole = [{"at_s": n * 2.0, "hit_rate": 0.8, "first_token_p99_s": 1.0} for n in range(40)]
    hurt = {20: 0.5, 21: 0.79, 22: 0.6}
    broken = [window | {"hit_rate": hurt.get(number, 0.79)} for number, window in enumerate(whole)]
    got = recovery(broken, whole)
    assert got["just_after"] == {"hit_rate": 0.5, "undisturbed": 0.8}
    assert got["recovery_s"] == 6.0 and got["window_s"] == 2.0
    assert got["settled_share"] == 0.9875
    worse = [window | {"hit_rate": 0.4 if number < 36 else 0.8} for number, window in enumerate(whole)]
    assert recovery(worse, whole)["recovery_s"] == 32.0
    swinging = [window | {"hit_rate": 0.1 if number % 2 else 0.8} for number, window in enumerate(whole)]
    assert recovery(swinging, whole)["recovery_s"] is None


def test_windows_and_percentiles() -> None:
    served = [ServedTurn(at, 100, 50 if at < 20 else 100, 1.0, "r", False) for at in range(40)]
    windows = windowed(served, 40.0)
    assert [window["hit_rate"] for window in windows] == [0.5] * 20 + [1.0] * 20
    assert decision_figures([1_000_000] * 99 + [9_000_000])["p50_ms"] == 1.0

"""The model of capacity: its sums, what it says is short, its file of costs, and its simulation."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from capacity_model import Costs, Load, Machine, breaks_first, cores, costs_of, plan
from capacity_simulation import Scenario, simulated

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_twice_the_load_takes_twice_the_cores() -> None:
    load = Load()
    twice = replace(load, browsers=2 * load.browsers, runs=2 * load.runs)
    for part, cores_once in asdict(cores(Costs(), load, 0.5)).items():
        assert getattr(cores(Costs(), twice, 0.5), part) == pytest.approx(2 * cores_once)


def test_busier_processes_need_less_for_each_event() -> None:
    """More events share a wake-up."""
    load = Load()
    idle, half, full = (asdict(cores(Costs(), load, busy)) for busy in (0.0, 0.5, 1.0))
    for part in ("gateway", "log", "worker"):
        assert idle[part] > half[part] > full[part]
        assert half[part] == pytest.approx((idle[part] + full[part]) / 2)


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"browsers": 50_000_000}, "gateway"),
        ({"sessions": 5_000_000_000}, "log shard"),
        ({"run_s": 0.3}, "queue"),
        ({"runs": 1_000_000}, "worker"),
        ({"readers": 50.0}, "traffic, GB a month"),
    ],
)
def test_more_of_anything_never_needs_less(more: dict[str, Any], part: str) -> None:
    before = {each.name: each.count for each in plan(Costs(), Load())}
    after = {each.name: each.count for each in plan(Costs(), replace(Load(), **more))}
    assert after[part] > before[part]
    assert all(after[name] >= count for name, count in before.items())


def test_a_plan_says_what_decides_it() -> None:
    [gateway, *_] = plan(Costs(), Load(browsers=10_000, runs=1), Machine(streams=500))
    assert (gateway.count, gateway.decided_by) == (20, "streams")
    [gateway, *_] = plan(Costs(), Load(browsers=10_000, runs=10_000), Machine(streams=100_000))
    assert gateway.decided_by == "processor"


def test_what_is_full_first_is_the_first_that_the_plan_needs_more_of() -> None:
    limits = breaks_first(Costs(), Load())
    assert [part for _, part in limits] == sorted(part for _, part in limits)
    name, carried = limits[0]
    kind, _, reason = name.partition(": ")
    [part] = [each for each in plan(Costs(), Load()) if each.name == kind]
    assert part.decided_by == reason
    less = replace(
        Load(),
        browsers=int(1_000_000 * carried * 0.99),
        runs=int(100_000 * carried * 0.99),
        sessions=int(10_000_000 * carried * 0.99),
    )
    assert [each.count for each in plan(Costs(), less)][:4] == [1, 1, 1, 1]


def test_the_simulation_is_as_busy_as_the_model_says_and_waits_grow_with_it() -> None:
    at_60, at_90 = (
        simulated(Costs(), Load(), Machine(busy=busy), Scenario(seconds=3.0)) for busy in (0.6, 0.9)
    )
    for outcome, busy in ((at_60, 0.6), (at_90, 0.9)):
        # Events come from the log one after another, so that some more find the gateway idle.
        assert outcome.gateway_busy == pytest.approx(busy, rel=0.1)
        assert outcome.log_busy == pytest.approx(busy, rel=0.05)
    assert at_60.p99_ms < at_90.p99_ms


def test_lost_gateways_cost_the_others_more_the_sooner_their_clients_come() -> None:
    calm, soon, late = (
        simulated(Costs(), Load(), Machine(busy=0.4), scenario)
        for scenario in (
            Scenario(seconds=7.0),
            Scenario(seconds=7.0, lost=1 / 3, reconnect_s=0.5),
            Scenario(seconds=7.0, lost=1 / 3, reconnect_s=3.0),
        )
    )
    assert calm.worst_ms < late.worst_ms < soon.worst_ms
    assert calm.back_after_s == 0.0


def test_a_file_of_costs_is_read_and_a_wrong_one_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(asdict(Costs(event_gateway_s=1e-6))))
    assert costs_of(path) == Costs(event_gateway_s=1e-6)
    path.write_text(json.dumps({"event_gateway_s": "fast", "evnt": 1}))
    result = _run("--costs", str(path))
    assert result.returncode == 2
    assert "not a cost, or not a number above zero: event_gateway_s, evnt" in result.stderr


def test_the_command_refuses_a_load_that_is_none() -> None:
    result = _run("--browsers", "0")
    assert result.returncode == 2
    assert "every number must be above zero" in result.stderr


def test_the_command_says_what_a_small_load_needs() -> None:
    result = _run("--browsers", "500", "--runs", "20", "--sessions", "10000")
    assert result.returncode == 0
    counts = [line.split()[-3] for line in result.stdout.splitlines()[1:3]]
    assert counts == ["1", "1"]
    assert "one of each carries this part of the load:" in result.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCHMARKS / "capacity_model.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

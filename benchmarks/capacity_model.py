"""How many gateways, workers and servers a load needs, from what one of each thing costs.

    python benchmarks/capacity_model.py --browsers 1000000 --runs 100000
    python benchmarks/capacity_model.py --browsers 5000 --runs 300 --costs costs.json

``capacity.py`` measures the costs, and how far the model is from a load that it has not seen;
docs/capacity.md explains both. The costs here are those of that page.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

MONTH_S: Final = 730 * 3600
_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Costs:
    """What one of each thing costs: seconds of one core, and bytes.

    An event is a piece of text that one client sees. A run is a message with its job, a step and
    its end, also seen by one client. An idle stream costs by the second.

    An event that finds a process idle also costs ``wake_``; those that come meanwhile share that.
    Without it an event costs what it does at saturation.
    """

    event_gateway_s: float = 6.8e-6
    event_log_s: float = 55e-6
    event_worker_s: float = 68e-6
    wake_gateway_s: float = 88e-6
    wake_log_s: float = 112e-6
    wake_worker_s: float = 360e-6
    event_bytes: float = 247.0
    """Of a stream, with chunks; and with the headers of TCP and IP."""
    run_gateway_s: float = 2000e-6
    run_log_s: float = 920e-6
    run_queue_s: float = 530e-6
    run_worker_s: float = 3200e-6
    open_gateway_s: float = 1600e-6
    open_log_s: float = 190e-6
    idle_gateway_s: float = 6.8e-6
    idle_log_s: float = 0.42e-6
    stream_bytes: float = 4.5e3
    """Memory of a gateway for an open stream."""
    session_bytes: float = 10.6e3
    """Memory of the log for a session with one run of a hundred pieces of text."""


@dataclass(frozen=True, slots=True)
class Load:
    """What users do."""

    browsers: int = 1_000_000
    """Streams that are open; those of runs are among them."""
    runs: int = 100_000
    """Runs that are executed at a time, each with its own session."""
    run_s: float = 30.0
    """How long a run takes."""
    events_per_s: float = 20.0
    """Pieces of text of a run in a second."""
    readers: float = 1.0
    """Clients of a session in which something happens."""
    visit_s: float = 600.0
    """How long a stream is open until the browser leaves, reloads or is cut off."""
    sessions: int = 10_000_000
    """Sessions that Redis keeps: those of ``STEPWIRE_SESSION_TTL_S``, a week by default."""

    @property
    def runs_per_s(self) -> float:
        return self.runs / self.run_s

    @property
    def appends_per_s(self) -> float:
        """Events that workers store."""
        return self.runs * self.events_per_s

    @property
    def deliveries_per_s(self) -> float:
        """Events that reach a client."""
        return self.appends_per_s * self.readers

    @property
    def opens_per_s(self) -> float:
        return self.browsers / self.visit_s


@dataclass(frozen=True, slots=True)
class Cores:
    """Processor time that a load takes, in cores."""

    gateway: float
    log: float
    queue: float
    worker: float


def cores(costs: Costs, load: Load, busy: float) -> Cores:
    """Processor time in cores, of processes that are so busy; a sum, in which nothing is rounded
    and nothing is spare. Of the events that come at random, as many find a process idle as it is
    idle for of the time."""
    idle = 1 - busy
    return Cores(
        gateway=load.deliveries_per_s * (costs.event_gateway_s + costs.wake_gateway_s * idle)
        + load.runs_per_s * costs.run_gateway_s
        + load.opens_per_s * costs.open_gateway_s
        + load.browsers * costs.idle_gateway_s,
        log=load.appends_per_s * (costs.event_log_s + costs.wake_log_s * idle)
        + load.runs_per_s * costs.run_log_s
        + load.opens_per_s * costs.open_log_s
        + load.browsers * costs.idle_log_s,
        queue=load.runs_per_s * costs.run_queue_s,
        worker=load.appends_per_s * (costs.event_worker_s + costs.wake_worker_s * idle)
        + load.runs_per_s * costs.run_worker_s,
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """What one process may be given, and what it costs. Every process has one core for itself."""

    busy: float = 0.5
    """The part of a core that is planned for. ``capacity_simulation.py`` shows why it is not more:
    a third of the gateways may be lost, and the others carry their streams."""
    streams: int = 10_000
    """Of one gateway: ``STEPWIRE_MAX_STREAMS``."""
    slots: int = 400
    """Runs of one worker process: ``STEPWIRE_MAX_JOBS``, which is 10 unless it is set."""
    shard_gib: float = 13.0
    """Memory that a server may fill: half of what it has, as copies for a dump or a replica may
    need as much again."""
    replicas: int = 1
    """Copies of each server of Redis."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a month costs, in US dollars: list prices of a common cloud, on demand, November 2026.

    A core of a compute machine, with 2 GiB; a core of a machine for Redis, with 8 GiB; a gigabyte
    to the internet beyond the first hundred terabytes. Put your own in their place.
    """

    core: float = 31.0
    redis_core: float = 49.0
    redis_gib_more: float = 3.5
    egress_gb: float = 0.05


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of process: how many, and what decides it."""

    name: str
    count: int
    decided_by: str
    reasons: dict[str, float] = field(default_factory=dict)
    """What each limit alone would ask for."""
    dollars: float = 0.0


def plan(
    costs: Costs, load: Load, machine: Machine | None = None, prices: Prices | None = None
) -> list[Part]:
    """What the load needs, part by part, with the monthly price.

    ``queue`` is a single server, as arq's queue cannot be spread over several. So a count above 1
    says that the load needs as many queues: installations, or queues of their own by handler.
    """
    machine, prices = machine or Machine(), prices or Prices()
    need = cores(costs, load, machine.busy)
    copies = 1 + machine.replicas
    gateways = _most(
        "gateway",
        {
            "processor": need.gateway / machine.busy,
            "streams": load.browsers / machine.streams,
            "memory": load.browsers * costs.stream_bytes / (2 * _GIB * machine.busy),
        },
        prices.core,
    )
    log = _most(
        "log shard",
        {
            "processor": need.log / machine.busy,
            "memory": load.sessions * costs.session_bytes / _GIB / machine.shard_gib,
        },
        # A primary and its copies, each with twice the memory that is filled.
        copies * (prices.redis_core + max(0.0, 2 * machine.shard_gib - 8) * prices.redis_gib_more),
    )
    queue = _most("queue", {"processor": need.queue / machine.busy}, copies * prices.redis_core)
    workers = _most(
        "worker",
        {"processor": need.worker / machine.busy, "slots": load.runs / machine.slots},
        prices.core,
    )
    month_gb = load.deliveries_per_s * costs.event_bytes * MONTH_S / 1e9
    traffic = Part("traffic, GB a month", math.ceil(month_gb), "bytes of events")
    return [gateways, log, queue, workers, _priced(traffic, prices.egress_gb)]


def _most(name: str, reasons: dict[str, float], dollars: float) -> Part:
    decided_by = max(reasons, key=lambda reason: reasons[reason])
    part = Part(name, max(1, math.ceil(reasons[decided_by])), decided_by, reasons)
    return _priced(part, dollars)


def _priced(part: Part, each: float) -> Part:
    return Part(part.name, part.count, part.decided_by, part.reasons, part.count * each)


def breaks_first(
    costs: Costs, load: Load, machine: Machine | None = None
) -> list[tuple[str, float]]:
    """What part of this load one process of each kind carries, the first to be full first."""
    machine = machine or Machine()
    parts = plan(costs, load, machine)
    limits = [
        (f"{part.name}: {reason}", 1 / needed)
        for part in parts
        for reason, needed in part.reasons.items()
        if needed
    ]
    return sorted(limits, key=lambda limit: limit[1])


def costs_of(path: Path) -> Costs:
    """Costs as ``capacity.py --out`` writes them.

    Raises:
        ValueError: a name is not that of a cost, or a value is not a number above zero.
    """
    document = json.loads(path.read_text())
    known = {each.name for each in fields(Costs)}
    wrong = [
        name
        for name, value in document.items()
        if name not in known or not isinstance(value, int | float) or not value > 0
    ]
    if wrong:
        raise ValueError(f"{path}: not a cost, or not a number above zero: {', '.join(wrong)}")
    return Costs(**document)


def table(parts: Sequence[Part]) -> str:
    """The plan as lines of text."""
    lines = [f"{'':22}{'count':>12}  {'decided by':18}{'US$ a month':>12}"]
    lines += [
        f"{part.name:22}{part.count:>12,}  {part.decided_by:18}{part.dollars:>12,.0f}"
        for part in parts
    ]
    return "\n".join([*lines, f"{'in all':54}{sum(part.dollars for part in parts):>12,.0f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description="What a load needs.")
    for of in (Load, Machine):
        for each in fields(of):
            flag = f"--{each.name.replace('_', '-')}"
            kind = int if isinstance(each.default, int) else float
            parser.add_argument(flag, type=kind, default=each.default)
    parser.add_argument("--costs", type=Path, help="costs that capacity.py --out has written")
    arguments = vars(parser.parse_args())
    try:
        costs = costs_of(path) if (path := arguments.pop("costs")) else Costs()
    except (OSError, ValueError) as error:
        parser.error(str(error))
    load = Load(**{each.name: arguments[each.name] for each in fields(Load)})
    machine = Machine(**{each.name: arguments[each.name] for each in fields(Machine)})
    if any(value <= 0 for value in (asdict(load) | asdict(machine) | {"replicas": 1}).values()):
        parser.error("every number must be above zero")
    print(table(plan(costs, load, machine)))
    print("\none of each carries this part of the load:")
    for limit, part in breaks_first(costs, load, machine):
        print(f"  {limit:22}{part:>10.3%}")


if __name__ == "__main__":
    main()

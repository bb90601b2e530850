"""The tables of the documents that are made from the code: ``make tables`` writes them.

Each stands below a comment that names it, and ends with an empty line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from textwrap import wrap
from typing import Final

from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from capacity_model import Costs, Load, breaks_first, plan
from stepwire._chainlit import HERE, INSTEAD
from stepwire._worker.metrics_server import METRICS
from stepwire._worker.metrics_server import PREFIX as WORKER_PREFIX
from stepwire_core.process.redis_rights import Needs
from stepwire_core.settings import ClientSettings, Settings
from stepwire_gateway import create_app
from stepwire_gateway.api.metrics import PREFIX
from stepwire_gateway.auth.guard import GuardedRoute, Need
from stepwire_gateway.auth.limits import RATES
from stepwire_gateway.metrics import declared

DOCS: Final = Path(__file__).parents[1] / "docs"

_REDIS: Final = "redis://127.0.0.1/0"
_QUEUE: Final = "stepwire:queue"

LOG_RIGHTS: Final = Needs.of_log(_REDIS).acl()
QUEUE_RIGHTS: Final = Needs.of_queue(_REDIS, _QUEUE, takes_runs=False).acl()
WORKER_RIGHTS: Final = Needs.of_queue(_REDIS, _QUEUE, takes_runs=True).acl()

_IN_SESSION: Final = {
    "path": "",
    "body": " in the session that it names",
    "listed": ", of the sessions that the token opens",
    "any": " in any session",
    "all": ' in all sessions (`"sessions": ["*"]`)',
}


def tables() -> dict[tuple[str, str], str]:
    """Every table that is made, by its document and its name."""
    return {
        ("settings.md", "settings"): _table(("variable", "default", ""), _settings(Settings)),
        ("settings.md", "client settings"): _table(
            ("variable", "default", ""), _settings(ClientSettings)
        ),
        ("operations.md", "metrics"): _table(("metric", "type", "labels", ""), _metrics()),
        ("operations.md", "worker metrics"): _table(
            ("metric", "type", "labels", ""), _worker_metrics()
        ),
        ("protocol.md", "rights"): _table(("request", "right", "counts as"), _rights()),
        ("step.md", "chainlit"): _table(("chainlit", "stepwire"), _names()),
        ("capacity.md", "costs"): _table(("cost", ""), _costs()),
        ("capacity.md", "plan"): _table(("", "how many", "decided by", "US$ a month"), _plan()),
        ("capacity.md", "limits"): _table(("what is full", "part of the load"), _limits()),
        ("redis-rights.md", "rights in the log"): _block(" ".join(LOG_RIGHTS)),
        ("redis-rights.md", "rights of a gateway in the queue"): _block(" ".join(QUEUE_RIGHTS)),
        ("redis-rights.md", "rights of a worker in the queue"): _block(
            " ".join(right for right in WORKER_RIGHTS if right not in QUEUE_RIGHTS)
        ),
        ("redis-rights.md", "commands of scripts"): _block(*_scripts()),
        ("protocol.md", "rates"): _table(("counts as", "setting", "default", "in"), _rates()),
    }


def with_table(text: str, name: str, table: str) -> str:
    """A document with this table in the place of the one of that name."""
    place = re.compile(rf"(<!-- Table: {name}\. [^\n]*-->\n\n).*?(?=\n\n|\n\Z)", re.DOTALL)
    new, count = place.subn(lambda match: match[1] + table, text)
    if count != 1:
        raise LookupError(f"there must be one comment '<!-- Table: {name}. … -->'")
    return new


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _block(*paragraphs: str) -> str:
    """Paragraphs in lines of a block, without an empty line."""
    lines = [line for text in paragraphs for line in wrap(text, 110, subsequent_indent="  ")]
    return "\n".join(["```", *lines, "```"])


def _scripts() -> Iterator[str]:
    core = Path(str(files("stepwire_core")))
    for folder in ("log", "queue", "redis"):
        for path in sorted((core / folder / "lua").rglob("*.lua")):
            called = set(re.findall(r"redis\.p?call\('([A-Z]+)'", path.read_text()))
            if called:
                name = path.relative_to(core).with_suffix("").as_posix().replace("/lua/", "/")
                yield f"{name}: {' '.join(sorted(called))}"


def _names() -> Iterator[tuple[str, str]]:
    for name in sorted(HERE | INSTEAD.keys(), key=lambda name: (name.lower(), name)):
        # `Step` and `step` would have one anchor, and the version has no section.
        same = f"`{name}`" if name in ("step", "__version__") else f"[`{name}`](#{name.lower()})"
        yield f"`{name}`", INSTEAD.get(name, same)


def _costs() -> Iterator[tuple[str, str]]:
    for name, value in asdict(Costs()).items():
        shown = f"{value:,.0f} bytes" if name.endswith("_bytes") else f"{_figure(value * 1e6)} µs"
        yield f"`{name}`", shown


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _plan() -> Iterator[tuple[str, ...]]:
    parts = plan(Costs(), Load())
    for part in parts:
        yield part.name, f"{part.count:,}", part.decided_by, f"{part.dollars:,.0f}"
    yield "in all", "", "", f"{sum(part.dollars for part in parts):,.0f}"


def _limits() -> Iterator[tuple[str, str]]:
    for what, carried in breaks_first(Costs(), Load()):
        yield what, f"{carried:.2%}"


def _settings(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        yield f"`STEPWIRE_{name.upper()}`", default, field.description or ""


def _metrics() -> Iterator[tuple[str, ...]]:
    create_app(Settings())
    for metric in declared():
        suffix = "_total" if metric.kind == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"`{PREFIX}{metric.name}{suffix}`", metric.kind, labels, metric.about


def _worker_metrics() -> Iterator[tuple[str, ...]]:
    for metric in METRICS:
        suffix = "_total" if metric.kind == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"`{WORKER_PREFIX}{metric.name}{suffix}`", metric.kind, labels, metric.about


def _rights() -> Iterator[tuple[str, ...]]:
    for route in create_app(Settings()).state.routes:
        for method in sorted(route.methods - {"HEAD"}):
            yield f"`{method} {_short(route)}`", _right(route.need), _counted(route.need)


def _short(route: GuardedRoute) -> str:
    return route.path.replace("{session_id}", "{sid}").replace("{run_id}", "{rid}")


def _right(need: Need) -> str:
    if need.right is None:
        return "none: open to every caller"
    if need.right == "api_key":
        return "an API key"
    return f"`{need.right}`{_IN_SESSION[need.session]}"


def _counted(need: Need) -> str:
    counted = [need.counts] if need.counts else []
    return ", ".join(counted + ["streams"] * need.stream)


def _rates() -> Iterator[tuple[str, ...]]:
    for rate in RATES.values():
        default = Settings.model_fields[rate.setting].default
        yield rate.name, f"`{rate.variable}`", f"`{default}`", f"{rate.window_s} s"


if __name__ == "__main__":
    for (document, name), table in tables().items():
        path = DOCS / document
        path.write_text(with_table(path.read_text(), name, table))

"""Which runs go first when there is more to do than workers can do at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stack import Gateway, Stack, wait_until
from tokens import API_KEY, SECRET, bearer, claims, signed, token

AUTH = {"STEPWIRE_AUTH_SECRETS": SECRET, "STEPWIRE_API_KEYS": API_KEY}

APP = Path(__file__).parent / "apps" / "load.py"


@pytest.fixture
def gate(stack: Stack, tmp_path: Path) -> Path:
    stack.env["GATE"] = str(path := tmp_path / "gate")
    return path


def start(
    gateway: Gateway,
    session: str,
    headers: dict[str, str],
    task: str,
    *,
    status: int = 202,
    **body: Any,
) -> str:
    response = gateway.client.post(
        f"/v1/sessions/{session}/runs", json={"task": task, **body}, headers=headers
    )
    assert response.status_code == status, response.text
    return str(response.json().get("run_id"))


def steps(gateway: Gateway, session: str) -> dict[str, dict[str, Any]]:
    path = f"/v1/sessions/{session}"
    snapshot = gateway.client.get(path, headers=bearer(API_KEY)).raise_for_status().json()
    return {step["name"]: step for step in snapshot["steps"]}


def running(gateway: Gateway, session: str) -> set[str]:
    return {name for name, step in steps(gateway, session).items() if step["status"] == "running"}


def wait_for(gateway: Gateway, session: str, *names: str) -> None:
    def over() -> bool:
        found = steps(gateway, session)
        return all(found.get(name, {}).get("status") == "ok" for name in names)

    wait_until(over, f"{names} are over")


def rate(gateway: Gateway, session: str, headers: dict[str, str], step: str, comment: str) -> None:
    path = f"/v1/sessions/{session}/steps/{steps(gateway, session)[step]['id']}/feedback"
    body = {"value": 1, "comment": comment}
    gateway.client.put(path, json=body, headers=headers).raise_for_status()


def wait_for_notes(gate: Path, count: int) -> list[str]:
    journal = gate.with_name("journal")
    wait_until(
        lambda: journal.exists() and len(journal.read_text().splitlines()) >= count,
        f"{count} have taken note",
    )
    return journal.read_text().splitlines()


def test_a_handler_runs_so_often_on_all_workers_and_others_do_not_wait_for_it(
    stack: Stack, gate: Path
) -> None:
    for _ in range(2):
        stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    runs = [start(gateway, session, {}, "few", args={"number": n}) for n in range(6)]
    quick = start(gateway, session, {}, "quick", args={"name": "quick"})
    assert gateway.wait_for_end(session, quick)["status"] == "ok"
    wait_until(lambda: len(running(gateway, session)) == 2, "two of them run")
    gate.touch()
    for run in runs:
        assert gateway.wait_for_end(session, run)["status"] == "ok"
    times = []
    for run in gateway.snapshot(session)["runs"]:
        if run["run_id"] in runs:
            times += [(run["started_at"], 1), (run["ended_at"], -1)]
    under_way = [sum(change for at, change in times if at <= moment) for moment, _ in times]
    assert max(under_way) == 2


def test_a_subject_that_asks_for_much_does_not_keep_others_waiting(
    stack: Stack, gate: Path
) -> None:
    stack.worker(APP, STEPWIRE_MAX_RUNNING_PER_SUBJECT="1", STEPWIRE_MAX_JOBS="2")
    gateway = stack.gateway(port=None, **AUTH)
    ada, bob = (bearer(token("s.*", rights=("read", "write"), sub=sub)) for sub in ("ada", "bob"))
    for session in ("s.ada", "s.bob"):
        gateway.client.post("/v1/sessions", json={"id": session}, headers=bearer(API_KEY))
    names = [f"ada {n}" for n in range(20)]
    for name in names:
        start(gateway, "s.ada", ada, "waits", args={"name": name})
    wait_until(lambda: running(gateway, "s.ada") == {"ada 0"}, "the first one runs")
    start(gateway, "s.bob", bob, "quick", args={"name": "bob"})
    wait_for(gateway, "s.bob", "bob")
    assert running(gateway, "s.ada") == {"ada 0"}
    # In another's name a backend alone may ask.
    start(gateway, "s.bob", bob, "quick", status=403, args={"name": "x"}, subject="ada")
    start(gateway, "s.bob", bearer(API_KEY), "quick", args={"name": "for ada"}, subject="ada")
    gate.touch()
    wait_for(gateway, "s.ada", *names)
    wait_for(gateway, "s.bob", "for ada")
    done = {**steps(gateway, "s.ada"), **steps(gateway, "s.bob")}
    assert done["for ada"]["started_at"] >= done["ada 19"]["ended_at"]


def test_feedback_and_ends_of_sessions_count_for_whoever_asks_for_them(
    stack: Stack, gate: Path
) -> None:
    stack.worker(APP, STEPWIRE_MAX_RUNNING_PER_SUBJECT="1", STEPWIRE_MAX_JOBS="2")
    gateway = stack.gateway(port=None, **AUTH)
    ada, bob = (bearer(token("s.*", rights=("admin",), sub=sub)) for sub in ("ada", "bob"))
    for session in ("s.1", "s.2"):
        gateway.client.post("/v1/sessions", json={"id": session}, headers=bearer(API_KEY))
    start(gateway, "s.1", ada, "waits", args={"name": "ada"})
    wait_until(lambda: running(gateway, "s.1") == {"ada"}, "it runs")
    rate(gateway, "s.1", ada, "ada", "by ada")
    gateway.client.delete("/v1/sessions/s.2", headers=ada).raise_for_status()
    rate(gateway, "s.1", bob, "ada", "by bob")
    assert wait_for_notes(gate, 1) == ["by bob"]
    gate.touch()
    assert wait_for_notes(gate, 3) == ["by bob", "by ada", "end of s.2"]


def test_who_awaits_parts_leaves_its_subjects_place_to_them(stack: Stack, gate: Path) -> None:
    stack.worker(APP, STEPWIRE_MAX_RUNNING_PER_SUBJECT="1")
    gateway = stack.gateway(port=None, **AUTH)
    gateway.client.post("/v1/sessions", json={"id": "s.ada"}, headers=bearer(API_KEY))
    ada = bearer(token("s.*", rights=("read", "write"), sub="ada"))
    start(gateway, "s.ada", ada, "parts", args={"count": 5})
    wait_for(gateway, "s.ada", "parts", *(f"part {n}" for n in range(5)))


def test_who_awaits_many_parts_leaves_them_one_place(stack: Stack, gate: Path) -> None:
    stack.worker(APP, STEPWIRE_MAX_JOBS="2")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, {}, "waiting_parts", args={"count": 6})
    wait_until(lambda: len(running(gateway, session)) == 2, "two parts run")
    quick = start(gateway, session, {}, "quick", args={"name": "quick"})
    assert len(running(gateway, session)) == 2
    gate.touch()
    for run_id in (run, quick):
        assert gateway.wait_for_end(session, run_id)["status"] == "ok"
    begun = [step["started_at"] for step in gateway.snapshot(session)["steps"]]
    ended = [step["ended_at"] for step in gateway.snapshot(session)["steps"]]
    under_way = [sum(a <= at for a in begun) - sum(b <= at for b in ended) for at in begun]
    assert max(under_way) == 2


def test_the_higher_priority_goes_first(stack: Stack, gate: Path) -> None:
    stack.worker(APP, STEPWIRE_MAX_JOBS="1")
    gateway = stack.gateway(port=None, **AUTH)
    gateway.client.post("/v1/sessions", json={"id": "s"}, headers=bearer(API_KEY))
    start(gateway, "s", bearer(API_KEY), "waits", args={"name": "first"})
    wait_until(lambda: running(gateway, "s") == {"first"}, "the first one runs")
    ada = bearer(token("s", rights=("read", "write")))
    paying = gateway.client.post(
        "/v1/tokens",
        json={"sub": "eve", "sessions": ["s"], "rights": ["write"], "priority": 9},
        headers=bearer(API_KEY),
    )
    eve = bearer(paying.json()["token"])
    start(gateway, "s", ada, "quick", args={"name": "usual"})
    start(gateway, "s", bearer(API_KEY), "quick", args={"name": "soon"}, priority=5)
    start(gateway, "s", eve, "parts", args={"count": 1})
    start(gateway, "s", ada, "quick", status=403, args={"name": "x"}, priority=1)
    start(gateway, "s", bearer(API_KEY), "quick", status=422, args={"name": "x"}, priority=10)
    gate.touch()
    wait_for(gateway, "s", "usual", "soon", "parts", "part 0")
    started = {name: step["started_at"] for name, step in steps(gateway, "s").items()}
    # A task has the priority of the run that enqueues it.
    assert sorted(started, key=started.__getitem__) == ["first", "parts", "part 0", "soon", "usual"]


def test_feedback_and_ends_of_sessions_have_the_priority_of_whoever_asks_for_them(
    stack: Stack, gate: Path
) -> None:
    stack.worker(APP, STEPWIRE_MAX_JOBS="1")
    gateway = stack.gateway(port=None, **AUTH)
    for session in ("s.1", "s.2"):
        gateway.client.post("/v1/sessions", json={"id": session}, headers=bearer(API_KEY))
    start(gateway, "s.1", bearer(API_KEY), "waits", args={"name": "first"})
    wait_until(lambda: running(gateway, "s.1") == {"first"}, "the first one runs")
    eve = bearer(signed(claims("s.*", rights=("admin",), sub="eve") | {"priority": 9}))
    start(gateway, "s.1", bearer(API_KEY), "noted", args={"name": "usual"})
    rate(gateway, "s.1", eve, "first", "by eve")
    gateway.client.delete("/v1/sessions/s.2", headers=eve).raise_for_status()
    gate.touch()
    assert wait_for_notes(gate, 3) == ["by eve", "end of s.2", "usual"]

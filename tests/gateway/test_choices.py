"""What people choose over HTTP: settings, chat profiles, questions to begin with, elements."""

from __future__ import annotations

from typing import Any

import pytest

from stack import Gateway, Stack, wait_until
from stepwire_core.values.ids import new_id
from tokens import SECRET, bearer, token

APP = """
    import os

    import stepwire as cl
    from stepwire.input_widget import Select, Slider, Switch, Tab, TextInput

    def form(model="small", most=2):
        return cl.ChatSettings([
            Tab("model", "Model", [
                Select("model", "Model", values=["small", "large"], initial_value=model),
                Slider("temperature", "Temperature", initial=0.5, min=0, max=most, step=0.1),
            ]),
            Tab("style", "Style", [
                Switch("loud", "Loud"),
                TextInput("name", "Name"),
                TextInput("version", "Version", initial="1", disabled=True),
            ]),
        ])

    @cl.on_chat_start
    async def begin():
        profile = cl.user_session.get("chat_profile")
        await cl.Message(f"{profile} {cl.user_session.get('chat_settings')}").send()

    @cl.task
    async def show(most=2):
        await form(most=most).send()

    @cl.on_settings_update
    async def changed(settings):
        if settings["name"] == "fail":
            raise ValueError("not that name")
        await cl.Message(f"told {settings} {os.getpid()}", author="told").send()

    @cl.on_settings_edit
    async def edited(settings):
        await form(model=settings["model"], most=1 if settings["model"] == "small" else 2).refresh()

    @cl.on_message
    async def main(message):
        settings = cl.user_session.get("chat_settings")
        await cl.Message(str(settings), author="read").send()

    @cl.task
    async def ask():
        id_ = f"form-of-{cl.context.run_id}"
        element = cl.CustomElement("Address", props={"city": "Rome"}, id=id_)
        answer = await cl.AskElementMessage("Where?", element, timeout=60).send()
        await cl.Message(str(answer), author="answer").send()

    @cl.set_chat_profiles
    async def profiles(user, language):
        mine = [] if user is None else [cl.ChatProfile(user.identifier, "Yours alone")]
        return [
            cl.ChatProfile("fast", "**Fast** answers", icon="bolt"),
            cl.ChatProfile("deep", f"In {language}", default=True,
                           starters=[cl.Starter("Why?", "Why is it so?", command="think")]),
            *mine,
        ]

    @cl.set_starters
    def starters(user):
        return [cl.Starter("Hello", "Hello!", icon="wave")]

    @cl.set_starter_categories
    async def categories(user, language, profile):
        return [cl.StarterCategory(f"For {profile}", starters=[cl.Starter("Go", "Go!")])]
"""


@pytest.fixture(scope="module")
def gateways(shared_stack: Stack) -> tuple[Gateway, Gateway]:
    """Two gateways of one installation, with two workers."""
    shared_stack.worker(APP)
    shared_stack.worker(APP)
    return shared_stack.gateway(), shared_stack.gateway(STEPWIRE_AUTH_SECRETS=SECRET)


@pytest.fixture(scope="module")
def gateway(gateways: tuple[Gateway, Gateway]) -> Gateway:
    return gateways[0]


def of(subject: str) -> dict[str, str]:
    """The headers of a person."""
    return bearer(token("*", sub=subject, rights=["read", "write"]))


def with_form(gateway: Gateway, **arguments: object) -> str:
    """A session with a form of settings."""
    session = gateway.create_session()
    assert gateway.wait_for_end(session, gateway.start(session, "show", **arguments))
    return session


def own(gateway: Gateway, session: str, type_: str) -> dict[str, Any]:
    """The props of the one element of that type."""
    [found] = [e for e in gateway.snapshot(session)["elements"] if e["type"] == type_]
    assert found["step_id"] is None
    props: dict[str, Any] = found["props"]
    return props


def said(gateway: Gateway, session: str, author: str) -> list[str]:
    steps = gateway.snapshot(session)["steps"]
    return [step["output"] for step in steps if step["name"] == author]


FIRST = {"model": "small", "temperature": 0.5, "loud": False, "name": None, "version": "1"}


def test_a_form_is_shown_as_an_element_and_its_first_values_are_kept(gateway: Gateway) -> None:
    session = with_form(gateway)
    form = own(gateway, session, "settings")
    assert [tab["label"] for tab in form["inputs"]] == ["Model", "Style"]
    assert form["inputs"][0]["inputs"][0]["items"] == [
        {"label": "small", "value": "small"},
        {"label": "large", "value": "large"},
    ]
    assert form["values"] == FIRST
    gateway.wait_for_end(session, gateway.send(session, "?")["run_id"])
    assert said(gateway, session, "read") == [str(FIRST)]


def test_a_change_is_stored_seen_by_all_and_told_to_the_handler_before_the_next_message(
    gateways: tuple[Gateway, Gateway],
) -> None:
    one, other = gateways
    session = with_form(one)
    path, headers = f"/v1/sessions/{session}/settings", of("ada")
    body = {"values": {"temperature": 1, "loud": True}}
    response = other.client.put(path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    now = FIRST | {"temperature": 1, "loud": True}
    changed = response.json()
    assert changed["values"] == now
    assert response.headers["location"].endswith(f"/runs/{changed['run_id']}")
    assert own(one, session, "settings")["values"] == now
    again = one.client.put(path, json={"values": {"model": "large"}}).json()
    assert again["values"] == (now := now | {"model": "large"})
    one.wait_for_end(session, one.send(session, "?")["run_id"])
    told = said(one, session, "told")
    assert [line.rpartition(" ")[0] for line in told][-1] == f"told {now}"
    assert len(told) == 2
    assert said(one, session, "read") == [str(now)]
    runs = {run["run_id"]: run["handler"] for run in one.snapshot(session)["runs"]}
    assert runs[changed["run_id"]] == "on_settings_update"


@pytest.mark.parametrize(
    ("values", "where", "what"),
    [
        ({"temperature": 5}, "temperature", "takes a number from 0 to 2, not 5"),
        ({"temperature": True}, "temperature", "takes a number from 0 to 2, not True"),
        ({"model": "huge"}, "model", "takes one of 'small', 'large', or null, not 'huge'"),
        ({"loud": 1}, "loud", "takes true or false, not 1"),
        ({"name": 5}, "name", "takes text or null, not 5"),
        ({"version": "2"}, "version", "it is disabled"),
        ({"gone": 1}, "gone", "the form has no such input; it has model, temperature, loud, name,"),
    ],
)
def test_a_value_that_does_not_fit_changes_nothing(
    gateway: Gateway, values: dict[str, Any], where: str, what: str
) -> None:
    session = with_form(gateway)
    path = f"/v1/sessions/{session}/settings"
    runs = len(gateway.snapshot(session)["runs"])
    for method, address in (("PUT", path), ("POST", f"{path}/edit")):
        body = {"values": {"name": "Ada"} | values}
        response = gateway.client.request(method, address, json=body)
        assert response.status_code == 422, response.text
        problem = response.json()
        assert problem["code"] == "invalid_request"
        [flaw] = problem["errors"]
        assert flaw["where"] == f"body.values.{where}"
        assert flaw["what"].startswith(what)
    assert own(gateway, session, "settings")["values"] == FIRST
    assert len(gateway.snapshot(session)["runs"]) == runs


def test_without_a_form_there_is_nothing_to_change(gateway: Gateway) -> None:
    session = gateway.create_session()
    path = f"/v1/sessions/{session}/settings"
    for method, address in (("PUT", path), ("POST", f"{path}/edit")):
        response = gateway.client.request(method, address, json={"values": {}})
        assert (response.status_code, response.json()["code"]) == (404, "settings_not_found")
    response = gateway.client.put("/v1/sessions/none/settings", json={"values": {}})
    assert response.json()["code"] == "session_not_found"


def test_a_repeated_change_is_taken_once(gateway: Gateway) -> None:
    session = with_form(gateway)
    path, body = f"/v1/sessions/{session}/settings", {"values": {"name": "Ada"}, "id": new_id()}
    first = gateway.client.put(path, json=body)
    between = gateway.client.put(path, json={"values": {"name": "Bob"}})
    again = gateway.client.put(path, json=body)
    assert [each.status_code for each in (first, between, again)] == [200] * 3
    assert again.json()["run_id"] == first.json()["run_id"]
    assert again.json()["values"]["name"] == "Bob"
    other = gateway.client.put(path, json=body | {"values": {"name": "Eve"}})
    assert (other.status_code, other.json()["code"]) == (409, "id_conflict")
    gateway.wait_for_end(session, between.json()["run_id"])
    assert len(said(gateway, session, "told")) == 2
    keyed = {"Idempotency-Key": "one"}
    twice = [gateway.client.put(path, json=body | {"id": None}, headers=keyed) for _ in range(2)]
    assert twice[0].json() == twice[1].json()


def test_a_handler_that_fails_leaves_the_values_as_the_person_wants_them(gateway: Gateway) -> None:
    session = with_form(gateway)
    path = f"/v1/sessions/{session}/settings"
    run_id = gateway.client.put(path, json={"values": {"name": "fail"}}).json()["run_id"]
    run = gateway.wait_for_end(session, run_id)
    assert (run["status"], run["error"]["message"]) == ("error", "not that name")
    assert own(gateway, session, "settings")["values"]["name"] == "fail"
    gateway.wait_for_end(session, gateway.send(session, "?")["run_id"])
    assert said(gateway, session, "read") == [str(FIRST | {"name": "fail"})]


def test_an_edit_is_told_and_stored_nowhere_and_the_form_may_change_with_it(
    gateway: Gateway,
) -> None:
    session = with_form(gateway)
    path = f"/v1/sessions/{session}/settings"
    response = gateway.client.post(f"{path}/edit", json={"values": {"model": "small"}})
    assert response.status_code == 202, response.text
    run = gateway.wait_for_end(session, response.json()["run_id"])
    assert run["status"] == "ok"
    slider = own(gateway, session, "settings")["inputs"][0]["inputs"][1]
    assert slider["max"] == 1
    response = gateway.client.put(path, json={"values": {"temperature": 1.5}})
    assert response.status_code == 422


def test_the_page_offers_profiles_and_starters_for_the_person_who_asks(
    gateways: tuple[Gateway, Gateway],
) -> None:
    one, other = gateways
    page = one.client.get("/v1/start", headers={"Accept-Language": "de-CH,de;q=0.8"}).json()
    assert [profile["name"] for profile in page["chat_profiles"]] == ["fast", "deep"]
    assert page["chat_profile"] == "deep"
    assert page["chat_profiles"][1]["markdown_description"] == "In de-CH"
    starter = {"label": "Why?", "message": "Why is it so?", "command": "think", "icon": None}
    assert page["starters"] == [starter]
    assert page["starter_categories"][0]["label"] == "For deep"
    assert page["failed"] == []
    page = one.client.get("/v1/start", params={"chat_profile": "fast", "language": "fr"}).json()
    assert page["starters"][0]["message"] == "Hello!"
    assert page["starter_categories"][0]["label"] == "For fast"
    assert page["chat_profiles"][1]["markdown_description"] == "In fr"
    page = other.client.get("/v1/start", headers=of("ada")).json()
    assert [profile["name"] for profile in page["chat_profiles"]] == ["fast", "deep", "ada"]
    refused = one.client.get("/v1/start", params={"chat_profile": "ada"})
    assert (refused.status_code, refused.json()["code"]) == (404, "chat_profile_not_found")
    assert refused.json()["detail"].endswith("'ada' is not offered; 'fast', 'deep' may be chosen")
    assert one.client.get("/v1/start", params={"language": "../x"}).status_code == 422
    assert other.client.get("/v1/start").status_code == 401


def first_message(gateway: Gateway, session: str) -> str:
    wait_until(lambda: bool(said(gateway, session, "Assistant")), "on_chat_start has spoken")
    return said(gateway, session, "Assistant")[0]


def test_a_session_has_the_profile_that_its_creator_has_chosen(
    gateways: tuple[Gateway, Gateway],
) -> None:
    one, other = gateways
    body = {"id": new_id(), "chat_profile": "fast"}
    assert one.client.post("/v1/sessions", json=body).status_code == 201
    assert first_message(one, body["id"]) == "fast {}"
    chosen = own(one, body["id"], "chat_profile")
    assert (chosen["name"], chosen["icon"]) == ("fast", "bolt")
    again = one.client.post("/v1/sessions", json=body | {"chat_profile": "deep"})
    assert again.status_code == 200
    assert own(one, body["id"], "chat_profile")["name"] == "fast"
    created = one.create_session()
    assert first_message(one, created) == "deep {}"
    assert own(one, created, "chat_profile")["name"] == "deep"
    for client, headers in ((one, {}), (other, of("eve"))):
        body = {"id": new_id(), "chat_profile": "ada"}
        refused = client.client.post("/v1/sessions", json=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (404, "chat_profile_not_found")
        assert client.client.get(f"/v1/sessions/{body['id']}", headers=headers).status_code == 404


def test_an_element_is_answered_with_what_the_page_has_made_of_it(gateway: Gateway) -> None:
    session = gateway.create_session()
    run = gateway.start(session, "ask")
    ask = gateway.open_ask(session)
    assert (ask["kind"], ask["element_id"]) == ("element", f"form-of-{run}")
    [element] = [e for e in gateway.snapshot(session)["elements"] if e["type"] == "custom"]
    assert (element["id"], element["step_id"]) == (ask["element_id"], ask["step_id"])
    wrong = gateway.answer(session, ask["id"], content="Rome")
    assert wrong.status_code == 422
    submission = {"props": {"city": "Bern", "submitted": 5}}
    answer = {"id": new_id(), "submission": submission}
    first = gateway.answer(session, ask["id"], **answer)
    assert first.status_code == 200, first.text
    assert first.json()["answer"]["submission"] == {"submitted": True} | submission
    assert gateway.answer(session, ask["id"], **answer).status_code == 200
    changed = answer | {"submission": {"submitted": False}}
    assert gateway.answer(session, ask["id"], **changed).status_code == 409
    gateway.wait_for_end(session, run)
    assert said(gateway, session, "answer") == [str({"city": "Bern", "submitted": True})]
    elements = gateway.snapshot(session)["elements"]
    assert [e for e in elements if e["type"] == "custom"] == []


def test_what_handlers_show_beside_the_conversation_is_no_upload(gateway: Gateway) -> None:
    session = with_form(gateway)
    [form] = [e for e in gateway.snapshot(session)["elements"] if e["type"] == "settings"]
    path = f"/v1/sessions/{session}/messages"
    response = gateway.client.post(path, json={"content": "x", "elements": [form["id"]]})
    assert response.status_code == 422
    assert "is not a file that was uploaded" in response.json()["detail"]
    assert gateway.client.get(form["url"]).status_code == 404

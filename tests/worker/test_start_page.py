"""The start page, and the chat profile of a session."""

from __future__ import annotations

import asyncio
import time
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

import stepwire as cl
from stepwire._handlers.registry import collecting
from stepwire._runs import start_page
from stepwire._runs.runner import Runner
from stepwire_core.errors import ChatProfileNotFound, InvalidArgument
from stepwire_core.queue.offers import FRESH_S, is_fresh, kept_offers, question
from stepwire_core.queue.run_queue import open_queue
from stepwire_core.wire.choices.start_page import Offers

if TYPE_CHECKING:
    from pathlib import Path

    from bench import Bench
    from stepwire.testing import App

pytestmark = pytest.mark.anyio

APP = """
    import stepwire as cl

    @cl.set_chat_profiles
    async def profiles(user):
        name = "anybody" if user is None else user.identifier
        return [
            cl.ChatProfile("first", f"For **{name}**"),
            cl.ChatProfile("second", "Deep", default=True, display_name="Second",
                           starters=[cl.Starter("Own", "Mine!")], config_overrides={"ui": 1}),
        ]

    @cl.set_starters
    def starters(*given):
        return [cl.Starter("Hello", "Hello!", icon="wave", command=str(len(given)))]

    @cl.set_starter_categories
    async def categories(user, language, profile):
        return [cl.StarterCategory(f"{language} {profile}", starters=[cl.Starter("Go", "Go!")])]

    @cl.on_message
    async def main(message):
        await cl.Message(cl.user_session.get("chat_profile")).send()
"""


def load(app: App, folder: Path, text: str) -> None:
    path = folder / "start_page_app.py"
    path.write_text(dedent(text))
    app.load(str(path))


async def test_each_person_is_offered_profiles_and_starters(
    stepwire_app: App, tmp_path: Path
) -> None:
    load(stepwire_app, tmp_path, APP)
    page = await stepwire_app.start_page(user="ada", language="de")
    first, second = page.chat_profiles
    assert (first.markdown_description, second.markdown_description) == ("For **ada**", "Deep")
    assert (page.chat_profile, second.config_overrides) == ("second", {"ui": 1})
    assert [starter.message for starter in page.starters] == ["Mine!"]
    assert [category.label for category in page.starter_categories] == ["de second"]
    page = await stepwire_app.start_page(chat_profile="first")
    assert [(each.message, each.command) for each in page.starters] == [("Hello!", "2")]
    assert [category.label for category in page.starter_categories] == ["None first"]
    with pytest.raises(ChatProfileNotFound, match="'third' is not offered; 'first', 'second' may"):
        await stepwire_app.start_page(chat_profile="third")


async def test_a_session_has_a_profile_from_its_beginning(
    stepwire_app: App, tmp_path: Path
) -> None:
    load(stepwire_app, tmp_path, APP)
    await stepwire_app.start(chat_profile="first")
    await stepwire_app.message("?")
    assert stepwire_app.tree["Assistant"].output == "first"
    stepwire_app.session_id = "another"
    # Without an on_chat_start, too, its run gives the default one.
    assert (await stepwire_app.start()).status == "ok"
    await stepwire_app.message("?")
    assert stepwire_app.tree["Assistant"].output == "second"
    with pytest.raises(ChatProfileNotFound):
        await stepwire_app.start(chat_profile="third")


async def test_a_function_that_fails_costs_the_others_nothing(
    stepwire_app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_page, "LIMIT_S", 0.05)
    text = """
        import asyncio
        import stepwire as cl

        @cl.set_chat_profiles
        async def profiles():
            return [cl.ChatProfile("a", ""), cl.ChatProfile("a", "")]

        @cl.set_starters
        async def starters():
            await asyncio.Event().wait()

        @cl.set_starter_categories
        async def categories():
            return [cl.StarterCategory("Here")]
    """
    load(stepwire_app, tmp_path, text + "\n        cl.on_message(print)\n")
    page = await stepwire_app.start_page()
    assert (page.chat_profiles, page.starters) == ([], [])
    assert page.failed == ["set_chat_profiles", "set_starters"]
    assert [category.label for category in page.starter_categories] == ["Here"]
    run = await stepwire_app.start()
    assert run.error is not None
    assert "two profiles with the same name" in run.error.message


async def test_a_worker_answers_for_all_gateways(bench: Bench) -> None:
    with collecting() as handlers:

        @cl.set_starters
        async def starters(user: cl.User | None) -> list[cl.Starter]:
            with pytest.raises(cl.NoActiveSession):
                await cl.Message("nobody would see it").send()
            return [cl.Starter(f"Hello {user and user.identifier}", "Hello!")]

    async with open_queue(bench.settings) as queue:
        asked = question(queue.name, "ada", "en")
        assert asked == question(queue.name, "ada", "en")
        assert asked.run_id != question(queue.name, "bob", "en").run_id
        assert await kept_offers(queue.store, queue.name, asked) is None
        runner = Runner(handlers, bench.log, bench.publisher, bench.settings, queue=queue)
        async with asyncio.timeout(20):
            await runner.execute(asked)
        offers = await kept_offers(queue.store, queue.name, asked)
    assert offers is not None
    assert [starter.label for starter in offers.starters] == ["Hello ada"]
    assert is_fresh(offers)
    assert not is_fresh(Offers(at_s=time.time() - FRESH_S - 1))
    assert (await bench.snapshot()).runs == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cl.Starter("a", 5), "the message of a Starter is a text, not int"),  # type: ignore[arg-type]
        (lambda: cl.Starter("a", "b", icon=5), "the icon of a Starter"),  # type: ignore[arg-type]
        (lambda: cl.StarterCategory("a", starters=[5]), "each is a cl.Starter"),  # type: ignore[list-item]
        (lambda: cl.StarterCategory("a", starters="b"), "a list of cl.Starter, not str"),  # type: ignore[arg-type]
        (lambda: cl.ChatProfile("", "b"), "a ChatProfile needs a name"),
        (lambda: cl.ChatProfile("a", None), "the markdown_description of a ChatProfile"),  # type: ignore[arg-type]
        (lambda: cl.ChatProfile("a", "b", starters=[5]), "each is a cl.Starter"),  # type: ignore[list-item]
    ],
)
async def test_what_cannot_be_shown_is_refused_where_it_is_made(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make()


async def test_the_functions_are_hooks_and_no_client_can_run_them() -> None:
    with collecting() as handlers:

        @cl.set_starters
        async def starters() -> list[cl.Starter]:
            return []

        with pytest.raises(InvalidArgument, match=r"@cl\.set_starters is used twice"):
            cl.set_starters(list)
    assert list(handlers.hooks) == ["set_starters"]
    assert handlers.functions == {}

"""Texts as they grow, fold and are copied, for every reader."""

from __future__ import annotations

import json

import pytest

from browser.axe import violations
from documents import a_step
from inspector.content.harness import Harness, Served
from inspector.content.media import png

MARKDOWN = """# Title

A **paragraph** with `code`, a [link](https://site.test) and $x^2$.

- [x] done
- two

| a | b |
|---|--:|
| 1 | 2 |

```python
def f(x):  # a comment
    return "text", 12
```

$$
y = x^2
$$

> quoted

1. one
2. two

end"""


def start(shown: Harness, **step: object) -> None:
    shown.message("", status="running", **step)


def grow(shown: Harness, text: str) -> None:
    shown.take(("step.delta", {"id": "m", "field": "output", "text": text}))


def test_a_growing_text_is_in_the_end_what_it_is_when_it_comes_at_once(shown: Harness) -> None:
    start(shown)
    for at in range(0, len(MARKDOWN), 9):
        grow(shown, MARKDOWN[at : at + 9])
    shown.message(MARKDOWN)
    shown.drawn()
    shown.until("document.querySelector('.hljs-keyword')")
    grown = shown.page.locator(".md").inner_html()
    shown.show()
    shown.message(MARKDOWN)
    shown.drawn()
    shown.until("document.querySelector('.hljs-keyword')")
    assert shown.page.locator(".md").inner_html() == grown


def test_what_is_shown_of_a_growing_text_stays_in_its_place(shown: Harness) -> None:
    """Its blocks are the same elements to the end: nothing flickers, and a selection stays."""
    start(shown)
    shown.page.evaluate(
        """() => {
            window.removed = [];
            new MutationObserver((changes) => {
                for (const { removedNodes } of changes) {
                    const elements = [...removedNodes].filter((node) => node.nodeType === 1);
                    removed.push(...elements.map((element) => element.outerHTML));
                }
            }).observe(document.querySelector('main'), { childList: true, subtree: true });
        }"""
    )
    text = MARKDOWN.replace("$x^2$", "x").replace("$$\ny = x^2\n$$\n\n", "")
    for letter in text:
        grow(shown, letter)
    removed = shown.page.evaluate("window.removed")
    # Only that a word becomes bold, code or a link cannot be known beforehand.
    assert not [one for one in removed if not one.startswith(("<strong", "<code", "<em", "<a "))]


def test_a_text_of_many_lines_is_folded_and_unfolds_for_a_search(shown: Harness) -> None:
    shown.message("\n".join(f"line {n}" for n in range(2000)))
    page = shown.page
    button = page.get_by_role("button", name="Show all 2,000 lines")
    assert page.locator(".content-folded").bounding_box()["height"] < 400  # type: ignore[index]
    button.click()
    assert page.locator(".content-folded").count() == 0
    page.get_by_role("button", name="Show less").click()
    # A link to a text finds it as a search does, which no script can start.
    page.evaluate("location.hash = '#:~:text=line%201777'")
    page.locator(".content-folded").wait_for(state="detached")
    page.evaluate("window.find('line 1777')")
    shown.until("getSelection().getRangeAt(0).getBoundingClientRect().top > 0")
    assert page.evaluate("getSelection().getRangeAt(0).getBoundingClientRect().top") < 800


def test_the_keyboard_unfolds_what_it_comes_to(shown: Harness) -> None:
    lines = [f"line {n}" for n in range(500)]
    shown.message("\n\n".join((*lines[:499], "[a link](https://site.test)")), id="k")
    shown.page.locator("main a").focus()
    shown.page.locator(".content-folded").wait_for(state="detached")


def test_what_the_reader_has_unfolded_stays_so(shown: Harness) -> None:
    text = "\n".join(f"line {n}" for n in range(300))
    shown.message(text, id="u")
    shown.page.get_by_role("button", name="Show all").click()
    # As in a list that keeps what is in view alone.
    shown.show()
    shown.message(text, id="u")
    assert shown.page.locator(".content-folded").count() == 0
    shown.page.get_by_role("button", name="Show less").wait_for()


def test_a_text_that_grows_before_the_reader_is_not_folded(shown: Harness) -> None:
    shown.message("", id="g", type="tool", status="running")
    text = "\n".join(f"line {n}" for n in range(100))
    shown.take(("step.delta", {"id": "g", "field": "output", "text": text}))
    shown.page.get_by_role("button", name="Show less").wait_for()
    assert shown.page.locator(".content-folded").count() == 0


@pytest.mark.parametrize("language", [None, "python", "json", "text"])
def test_a_button_to_copy_covers_nothing(shown: Harness, language: str | None) -> None:
    text = f"[{'1, ' * 200}1]" if language else f"```py\n{'x' * 400}\n```"
    shown.message(text, language=language)
    page = shown.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    covered = page.evaluate(
        """() => [...document.querySelectorAll('main button')].filter((button) => {
            const at = button.getBoundingClientRect();
            const texts = document.querySelectorAll('.plain, pre, .json, .md p');
            return [...texts].some((text) => {
                const box = text.getBoundingClientRect();
                const beside = box.left >= at.right || at.left >= box.right;
                return !beside && box.top < at.bottom && at.top < box.bottom;
            });
        }).length"""
    )
    assert covered == 0
    page.get_by_role("button", name="Copy the output").click()
    assert page.evaluate("navigator.clipboard.readText()") == text
    assert "was copied" in page.locator("#announcer").inner_text()


def test_each_line_goes_in_the_direction_of_its_letters(shown: Harness) -> None:
    hebrew = "\u05e9\u05dc\u05d5\u05dd"
    shown.message(f"English first\n\n{hebrew}\n\n- {hebrew}\n\n```js\nlet x\n```")
    directions = shown.page.locator(".md p, .md li, .md pre").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).direction)"
    )
    assert directions == ["ltr", "rtl", "rtl", "ltr"]


def test_a_reader_may_look_at_the_source_and_at_markdown(shown: Harness) -> None:
    shown.message("**bold**")
    page = shown.page
    page.get_by_role("button", name="Source").click()
    assert page.locator(".plain").inner_text() == "**bold**"
    page.get_by_role("button", name="Markdown").click()
    assert page.locator("strong").inner_text() == "bold"


def test_a_structure_is_a_tree_and_what_is_not_one_is_text(shown: Harness) -> None:
    shown.message('{"found": 2}', type="tool")
    assert shown.page.locator(".json-number").inner_text() == "2"
    shown.page.get_by_role("button", name="Source").click()
    assert shown.page.locator("pre.code").inner_text() == '{"found": 2}'
    shown.show()
    shown.message('{"found": … [cut off]}', type="tool")
    assert shown.page.locator(".plain").inner_text() == '{"found": … [cut off]}'


@pytest.mark.parametrize(
    ("progress", "value", "words"),
    [
        ({"done": 3, "total": 12, "text": "customers"}, "3", "3 of 12 (25%) · customers"),
        ({"done": 13, "total": 12, "text": None}, "12", "13 of 12 (100%)"),
        ({"done": 3, "total": 0, "text": None}, "1", "3 of 0"),
        ({"done": 3, "total": None, "text": None}, None, "3"),
    ],
)
def test_a_bar_says_how_far_a_step_is(
    shown: Harness, progress: dict[str, object], value: str | None, words: str
) -> None:
    shown.message("", status="running", progress=progress)
    bar = shown.page.get_by_role("progressbar", name="Progress")
    assert bar.get_attribute("value") == value
    assert bar.get_attribute("aria-valuetext") == words
    assert shown.page.locator(".content-progress").inner_text() == words


@pytest.mark.parametrize("progress", [{}, {"done": "x"}, {"done": -1, "total": 5}])
def test_progress_of_another_shape_is_no_bar(shown: Harness, progress: dict[str, object]) -> None:
    shown.message("", status="running", progress=progress)
    assert shown.page.get_by_role("progressbar").count() == 0


def test_usage_is_summed_upwards_and_says_what_is_the_steps_own(shown: Harness) -> None:
    used = {"input_tokens": 1000, "output_tokens": 200, "cost": 0.01, "model": "gpt4"}
    shown.show(
        {"id": "a", "status": "ok", "usage": used},
        {"id": "b", "parent_id": "a", "status": "ok", "usage": used | {"model": None}},
        {"id": "c", "parent_id": "b", "status": "ok"},
    )
    above = shown.page.locator("#a > .content-usage")
    assert (above.text_content() or "").startswith(
        "used with the steps below: Σ 2,400 tokens · cost 0.02"
    )
    assert above.get_attribute("title") == "gpt4 · itself: 1,000 in · 200 out · cost 0.01"
    below = shown.page.locator("#b > .content-usage")
    assert (below.text_content() or "").startswith("used: 1,200 tokens · cost 0.01")
    assert shown.page.locator("#c > .content-usage").count() == 0
    # A step that tells its usage later changes the sum above it.
    shown.take(("step.end", _step("c", "b", used)))
    above.filter(has_text="3,600 tokens").wait_for()


def _step(id_: str, parent: str, usage: dict[str, object]) -> dict[str, object]:
    return a_step("s", id_).model_dump(mode="json") | {"parent_id": parent, "usage": usage}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_of_it_is_closed_to_anybody(shown: Harness, scheme: str) -> None:
    """axe finds nothing, in contrast (AA), names, roles and order."""
    page = shown.page
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    table = {"columns": ["a", "b"], "index": [0, 1], "data": [[1, "x"], [2, None]]}
    files = {
        "picture": ("image", png(), "image/png"),
        "log": ("text", b"a log", "text/plain"),
        "data": ("json", b'{"a": [1, true, null, "x"]}', "application/json"),
        "sales": ("dataframe", json.dumps(table).encode(), "application/json"),
        "gone": ("pdf", b"no", "application/pdf"),
        "tasks": ("tasklist", b"", "x/y"),
    }
    elements = []
    for name, (type_, content, mime) in files.items():
        shown.files[name] = Served(content, mime)
        props = {"status": "x", "tasks": [{"title": "y", "status": "failed"}]}
        elements.append(
            {"id": name, "name": name, "type": type_, "mime": mime, "step_id": "m", "size": 5}
            | {"sha256": "x", "url": f"/v1/sessions/s/elements/{name}", "props": props}
        )
    elements.append(
        {"id": "side", "name": "side", "type": "file", "display": "side", "step_id": "m"}
    )
    used = {"input_tokens": 10, "output_tokens": 2, "cost": 0.1, "model": "gpt4"}
    code = "```python\n@a\nclass X(Y):\n    '''doc'''\n    x = f(1, True) # c\n```"
    changes = "```diff\n+ a\n- b\n```"
    shown.show(
        {
            "id": "m",
            "type": "assistant_message",
            "status": "ok",
            "output": f"{MARKDOWN}\n\n{code}\n\n{changes}\n\n[x](https://y.test)",
        },
        {
            "id": "p",
            "output": "line\n" * 300,
            "usage": used,
            "progress": {"done": 1, "total": None},
        },
        {"id": "q", "output": '{"a": 1}', "status": "ok", "progress": None},
        elements=elements,
    )
    shown.drawn()
    page.locator(".data-row").first.wait_for()
    page.locator(".element-misfit").first.wait_for()
    shown.until("document.querySelector('.hljs-keyword')")
    assert violations(page, "main") == []

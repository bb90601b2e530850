"""Elements in the form of their type, and what is wrong with one, said in its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inspector.content.harness import Harness, Served
from inspector.content.media import PDF, png, wav

JSON = "application/json"
TABLE = {
    "columns": ["month", "sum"],
    "index": list(range(5000)),
    "data": [[f"M{n}", (n * 7919) % 5000] for n in range(5000)],
}


def misfit(shown: Harness) -> str:
    return shown.page.locator(".element-misfit").inner_text()


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def test_a_picture_is_in_place_and_is_fetched_with_the_token(shown: Harness) -> None:
    shown.element(png(), "image/png", type="image", name="a cat")
    shown.until("document.querySelector('main img')?.naturalWidth === 60")
    assert shown.page.get_by_role("img", name="a cat").count() == 1
    assert shown.tokens[-1] == "token=a-token"


@pytest.mark.parametrize(
    ("type_", "mime", "said"),
    [
        ("image", "image/png", "It is not a picture that this browser can show."),
        ("audio", "audio/wav", "It is not a sound that this browser can play."),
        ("video", "video/mp4", "It is not a film that this browser can play."),
        ("pdf", "application/pdf", "It is not a PDF, though its type says so."),
        ("json", JSON, "It is not JSON, though its type says so."),
        ("dataframe", JSON, "It is not a table, though its type says so: it is not JSON."),
        ("plotly", JSON, "It is not a figure, though its type says so: it is not JSON."),
    ],
)
def test_bytes_of_another_type_are_said_in_place(
    shown: Harness, type_: str, mime: str, said: str
) -> None:
    shown.element(b"nothing of that", mime, type=type_)
    assert misfit(shown) == said


def test_a_text_of_other_bytes_is_not_shown_as_text(shown: Harness) -> None:
    shown.element(bytes(range(256)), "text/plain", type="text")
    assert misfit(shown) == "It is not text: download it to look into it."


@pytest.mark.parametrize(("value", "type_"), [([1], "dataframe"), ({"data": 1}, "plotly")])
def test_json_of_another_shape_is_said_in_place(shown: Harness, value: object, type_: str) -> None:
    shown.element(encoded(value), JSON, type=type_)
    assert "though its type says so: it needs" in misfit(shown)


@pytest.mark.parametrize("type_", ["image", "audio", "text", "json", "dataframe", "plotly", "pdf"])
def test_an_element_that_is_gone_or_closed_says_so(shown: Harness, type_: str) -> None:
    shown.element(None, "x/y", type=type_, id=f"gone-{type_}")
    assert misfit(shown) == "It is gone: it was removed, or it has no bytes here."
    shown.files[f"closed-{type_}"] = Served(b"", status=403)
    shown.element(None, "x/y", type=type_, id=f"closed-{type_}")
    shown.page.get_by_text("Your token does not open it.").wait_for()


def test_an_element_that_did_not_come_is_fetched_again_when_the_reader_wants(
    shown: Harness,
) -> None:
    shown.files["late"] = Served(b"", status=500)
    shown.element(None, "text/plain", type="text", id="late")
    assert "It did not come" in misfit(shown)
    shown.files["late"] = Served(b"here it is", "text/plain")
    shown.page.get_by_role("button", name="Try again").click()
    shown.page.get_by_text("here it is").wait_for()


def test_a_sound_and_a_film_play_in_place(shown: Harness) -> None:
    shown.element(wav(), "audio/wav", type="audio", name="a bell")
    shown.until("document.querySelector('main audio')?.duration === 0.5")
    assert shown.page.evaluate("document.querySelector('main audio').controls")
    assert shown.page.evaluate("document.querySelector('main audio').autoplay") is False


def test_a_pdf_opens_in_the_browsers_viewer_at_its_page(shown: Harness) -> None:
    shown.element(PDF, "application/pdf", type="pdf", name="a report", props={"page": 3})
    if not shown.page.evaluate("navigator.pdfViewerEnabled"):
        pytest.skip("this Chromium has no viewer")
    frame = shown.page.locator("iframe[title='a report']")
    frame.wait_for()
    source = frame.get_attribute("src")
    assert source
    assert source.startswith("blob:")
    assert source.endswith("#page=3")
    assert shown.page.evaluate("window.violations") == []


def test_a_table_has_the_rows_in_view_alone_and_is_sorted_by_a_column(shown: Harness) -> None:
    shown.element(encoded(TABLE), JSON, type="dataframe", name="sales")
    page = shown.page
    table = page.get_by_role("table", name="sales")
    table.wait_for()
    assert table.get_attribute("aria-rowcount") == "5001"
    assert page.locator(".data-row").count() < 60
    header = page.get_by_role("columnheader", name="sum")
    for order, first in (("ascending", "0"), ("descending", "4999"), ("none", "0")):
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") == order
        row = page.locator(".data-row[aria-rowindex='2'] .number")
        assert row.inner_text() == first
    page.locator(".data-box").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    page.get_by_text("M4999", exact=True).wait_for()
    assert page.locator(".data-row").count() < 60


def test_a_table_of_many_columns_has_the_columns_in_view_alone(shown: Harness) -> None:
    columns = [f"c{n}" for n in range(2000)]
    table = {"columns": columns, "index": [0], "data": [list(range(2000))]}
    shown.element(encoded(table), JSON, type="dataframe")
    shown.page.locator(".data-row").first.wait_for()
    assert shown.page.locator(".data-cell").count() < 200
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_figure_is_drawn_by_a_library_that_comes_when_it_is_needed(shown: Harness) -> None:
    figure = {"data": [{"type": "bar", "x": ["a", "b"], "y": [1, 2]}]}
    shown.element(encoded(figure), JSON, type="plotly", name="a chart")
    shown.page.locator(".element-plot .main-svg").first.wait_for()
    assert shown.page.locator(".element-plot .bars .point").count() == 2
    # Its rules hold, though the policy lets it write no style.
    position = "getComputedStyle(document.querySelector('.element-plot .main-svg')).position"
    assert shown.page.evaluate(position) == "absolute"


def test_a_structure_opens_and_closes_and_keeps_its_numbers(shown: Harness) -> None:
    text = b'{"id": 9007199254740993, "": {"deep": {"deeper": [1, 2]}}, "many": ['
    text += b",".join(b"%d" % n for n in range(5000)) + b"]}"
    shown.element(text, JSON, type="json")
    page = shown.page
    page.get_by_text("9007199254740993").wait_for()
    assert page.locator(".json li").count() < 50
    page.locator("summary", has_text="many").click()
    page.get_by_text("100 \u2013 199").click()
    page.locator(".json-leaf", has_text="199: 199").wait_for()


def test_a_list_of_tasks_is_live(shown: Harness) -> None:
    def tasks(status: str) -> dict[str, Any]:
        line = {"title": "Search", "status": status, "for_id": None}
        return {"status": "Running", "tasks": [line, {"title": "Read", "status": "ready"}]}

    shown.element(None, "x/y", type="tasklist", id="t", props=tasks("running"))
    listed = shown.page.locator(".task-list")
    assert listed.inner_text().split("\n")[:2] == ["Running", "0 of 2"]
    shown.element(None, "x/y", type="tasklist", id="t", props=tasks("done"))
    assert "1 of 2" in listed.inner_text()
    assert listed.locator("li").first.text_content() == "Search (done)"


def test_an_element_opens_beside_the_page_and_goes_when_it_is_removed(shown: Harness) -> None:
    shown.element(b"beside", "text/plain", type="text", display="side", name="notes", id="n")
    page = shown.page
    assert page.get_by_text("beside", exact=True).count() == 0
    opener = page.get_by_role("button", name="notes")
    opener.click()
    panel = page.get_by_role("dialog", name="notes")
    panel.get_by_text("beside", exact=True).wait_for()
    page.keyboard.press("Escape")
    panel.wait_for(state="detached")
    assert opener.evaluate("one => one === document.activeElement")
    opener.click()
    shown.take(("element.remove", {"id": "n"}))
    page.get_by_text("It was removed.").wait_for()
    page.get_by_role("button", name="Close").click()


def test_an_element_opens_as_a_page_of_its_own(shown: Harness) -> None:
    shown.element(png(), "image/png", type="image", display="page", name="plan")
    page = shown.page
    page.get_by_role("button", name="plan").click()
    box = page.get_by_role("dialog", name="plan").bounding_box()
    assert box
    assert (box["width"], box["height"]) == (1000, 800)
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")


def test_names_that_are_empty_or_long_break_nothing(shown: Harness) -> None:
    shared = {"step_id": "m", "sha256": "x", "url": "/v1/sessions/s/elements/x"}
    names = ["", None, " ", "n" * 500, "\u202egnp.exe", 7]
    shown.show(
        {"id": "m", "status": "ok", "output": "w" * 3000},
        elements=[
            shared | {"id": f"{at}{display}", "name": name, "type": "file", "display": display}
            for at, name in enumerate(names)
            for display in ("inline", "side", "page", "elsewhere")
        ],
    )
    text = shown.text()
    for word in ("undefined", "null", "[object"):
        assert word not in text
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_of_very_many_elements_the_first_are_shown_and_the_others_named(shown: Harness) -> None:
    shared = {"step_id": "m", "type": "file"}
    elements = [shared | {"id": f"f{n}", "name": f"f{n}"} for n in range(300)]
    shown.show({"id": "m", "status": "ok"}, elements=elements)
    assert shown.page.locator(".element").count() == 20
    shown.page.get_by_text("280 more").click()
    assert shown.page.locator(".element-opener").count() == 280


def test_a_file_is_downloaded_under_its_name_and_no_address_has_the_token(shown: Harness) -> None:
    shown.element(b"<b>page</b>", "text/html", type="file", name="page.html")
    page = shown.page
    with page.expect_download() as started:
        page.get_by_role("button", name="Download page.html").click()
    assert started.value.suggested_filename == "page.html"
    assert started.value.url.startswith("blob:")
    assert "token=" not in page.content()

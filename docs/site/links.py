"""A hook of MkDocs: links to files of the repository work in the site, too.

Documents link to code, to tests and to the files beside README, as readers of the repository need
it. The site gets those pages as pages, and all other files as plain copies below ``source/``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = {
    f"{name}.md": f"project/{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")
}
"""Documents outside of ``docs/`` that are pages of the site, by their path in the repository."""

_LINK = re.compile(r"\]\((?!\w+:)(?P<path>[^)#\s]+)(?P<fragment>#[^)\s]*)?\)")

_ROLE = re.compile(r":(?:class|meth|func|attr|mod|data|exc):(?=<code>)")


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of ``docs/``."""
    for path, uri in PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / path).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let the links of a page lead to where the site has their targets.

    What leads nowhere is left as it is: a strict build then names it.
    """
    in_site = page.file.src_uri
    in_repository = next((path for path, uri in PAGES.items() if uri == in_site), f"docs/{in_site}")

    def moved(link: re.Match[str]) -> str:
        folder = posixpath.dirname(in_repository)
        target = posixpath.normpath(posixpath.join(folder, link["path"]))
        uri = _in_site(target, config, files)
        if uri is None:
            return link[0]
        way = posixpath.relpath(uri, posixpath.dirname(in_site) or ".")
        return f"]({way}{link['fragment'] or ''})"

    return _LINK.sub(moved, markdown)


def on_page_content(html: str, /, **_: object) -> str:
    """Docstrings name code with roles of Sphinx, which mkdocstrings shows as they stand."""
    return _ROLE.sub("", html)


def _in_site(target: str, config: MkDocsConfig, files: Files) -> str | None:
    """The place in the site of a file of the repository, which is copied there if need be."""
    if target in PAGES:
        return PAGES[target]
    inside = target.removeprefix("docs/")
    if target.startswith("docs/") and files.get_file_from_path(inside) is not None:
        return inside
    if not (ROOT / target).is_file():
        return None
    # Not as Markdown: it would be one more page.
    uri = f"source/{target}.txt" if target.endswith(".md") else f"source/{target}"
    if files.get_file_from_path(uri) is None:
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / target)))
    return uri

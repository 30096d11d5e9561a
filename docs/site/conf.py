"""Sphinx's settings for the site. `docs/site/build.py` gathers the pages and calls Sphinx. Nothing is fetched."""

from __future__ import annotations

from typing import Any

from pygments.lexers.special import TextLexer

import taolite

project = "taolite"
author = "the authors of taolite"
copyright = "the authors of taolite; Apache-2.0"
version = release = taolite.__version__
root_doc = "docs/index"
exclude_patterns: list[str] = []
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 6  # as GitHub makes them, for links such as page.md#a-heading
myst_links_external_new_tab = False
suppress_warnings = ["myst.header"]  # a changelog begins below its title again and again

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"  # docstrings write `name`, as Markdown does
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"taolite {release}"
html_show_sphinx = False
html_copy_source = False
html_permalinks_icon = "#"


def setup(app: Any) -> None:
    """Show the picture of docs/architecture.md, which GitHub draws, as its text."""
    app.add_lexer("mermaid", TextLexer)

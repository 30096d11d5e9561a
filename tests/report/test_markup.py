"""Markup: no text becomes an element, whatever is in it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from taolite.report.markup import Html, el, join, text

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "</script></style></title>",
    "' onmouseover='alert(1)",
    "a\nb\tc",
    "cat\u202egnp.exe",
    "\u2066x\u2069",
    "null\x00byte",
    "🦝 & 犬",
    "\ud800",
    "&lt;b&gt;",
    "]]><!--",
)


class Seen(HTMLParser):
    """What a parser finds: names of elements, attributes, and text."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.data = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.data += data


SHOWN = {
    "cat\u202egnp.exe": "cat\\u202egnp.exe",
    "\u2066x\u2069": "\\u2066x\\u2069",
    "null\x00byte": "null\\x00byte",
    "\ud800": "\\ud800",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_in_an_element_and_in_an_attribute(name: str):
    seen = Seen(el("p", name, title=name))

    said = SHOWN.get(name, name)
    assert seen.elements == [("p", [("title", said)])]
    assert seen.data == said


def test_markup_is_kept_and_text_beside_it_is_escaped():
    made = join(el("b", "<"), " & ", 3, None)

    assert made == "<b>&lt;</b> &amp; 3"
    assert isinstance(made, Html)
    assert text(made) is made


def test_attributes_have_their_html_names_and_may_be_left_out():
    made = el("line", x1=1.239, y1=2.0, stroke_width=1, class_="grid", hidden=True, id=None, open=False)

    assert made == '<line x1="1.24" y1="2" stroke-width="1" class="grid" hidden></line>'
    assert el("br") == "<br>"

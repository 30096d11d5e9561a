"""HTML and SVG out of values: every text is escaped unless it is `Html` already, so no name can become markup.

`el` is the only maker of elements. Names of elements and attributes are written in this package, never taken from
data. Letters that control a terminal or turn the direction of writing are shown by their code, as in messages.
"""

from __future__ import annotations

from html import escape
from typing import TypeAlias

from taolite.errors import printable

__all__ = ["Child", "Html", "el", "join", "text"]

_EMPTY = frozenset({"br", "img", "input", "meta"})  # HTML has no end tag for these; SVG needs one for all


class Html(str):
    """Text that is markup, with everything in it escaped."""

    __slots__ = ()


Child: TypeAlias = "str | int | float | None"
"""What stands in an element: markup, a text that is escaped, a number; None is left out."""


def text(value: Child) -> Html:
    """`value` as markup.

    >>> text("<b> & 'co'")
    '&lt;b&gt; &amp; &#x27;co&#x27;'
    """
    if value is None:
        return Html()
    if isinstance(value, Html):
        return value
    return Html(escape(printable(str(value)), quote=True))


def join(*children: Child) -> Html:
    """The children, one after the other."""
    return Html("".join(text(one) for one in children))


def el(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """One element. In the name of an attribute `_` is a `-`, and the last one is left out: `class_`, `stroke_width`.
    An attribute of None or False is left out, one of True has no value.

    >>> el("p", "1 < 2", el("b", "!"), class_='a"b')
    '<p class="a&quot;b">1 &lt; 2<b>!</b></p>'
    """
    made = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            made.append(key)
        elif value is not None and value is not False:
            made.append(f'{key}="{text(_short(value))}"')
    inner = join(*children)
    return Html(f"<{' '.join(made)}>" if name in _EMPTY else f"<{' '.join(made)}>{inner}</{name}>")


def _short(value: str | float) -> str:
    """A number without digits that no screen shows."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)

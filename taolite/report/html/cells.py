"""Numbers of a table, as text; None for what is not a number, which a table shows as a dash."""

from __future__ import annotations

from taolite.report.html.facts import number

__all__ = ["big", "milliseconds", "percent", "plain", "share"]


def share(value: object) -> str | None:
    """0.123, of a share 0..1."""
    found = number(value)
    return None if found is None else f"{found:.3f}"


def percent(value: object, digits: int = 0) -> str | None:
    """12 %, of a share 0..1."""
    found = number(value)
    return None if found is None else f"{100 * found:.{digits}f} %"


def milliseconds(value: object) -> str | None:
    """1.2 ms."""
    found = number(value)
    return None if found is None else f"{found:.1f} ms"


def big(value: object) -> str | None:
    """11,184,207."""
    found = number(value)
    return None if found is None else f"{found:,.0f}"


def plain(value: object) -> str | None:
    """The value as it is; three digits of a fraction."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return None if value is None else str(value)

"""The words of `taolite experiment`: tables of runs, of differences, the lineage as a tree, what can be deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taolite.errors import printable
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.spec.flat import Plain
    from taolite.stages.experiments.cleanup import Garbage
    from taolite.stages.experiments.compare import Comparison
    from taolite.stages.experiments.listing import Row
    from taolite.workspace.lineage import Lineage, Node

__all__ = [
    "columns",
    "compare_lines",
    "garbage_lines",
    "lineage_lines",
    "list_lines",
    "megabytes",
    "node_text",
    "score",
]

_FIELDS = 3  # fields of a row that are shown
_WIDEST = 44  # letters of a value


def columns(rows: Sequence[Sequence[str]], *, indent: str = "") -> list[str]:
    """Rows as lines with their cells in columns, each as wide as its widest cell."""
    if not rows:
        return []
    rows = [[printable(cell) for cell in row] for row in rows]  # names of folders and classes come from outside
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def list_lines(rows: Sequence[Row]) -> list[str]:
    """One run a line."""
    head = ("run", "task", "state", "epoch", "score", "started", "differs from its neighbours in")
    return columns([head, *map(_list_row, rows)])


def _list_row(row: Row) -> tuple[str, ...]:
    run = row.run
    epoch, epochs = run.epoch
    started = f"{run.started:%Y-%m-%d %H:%M}" if run.started else "-"
    fields = [f"{name} {_short(value.strip(chr(34)) or value)}" for name, value in row.differs.items()]
    more = [f"and {counted(len(fields) - _FIELDS, 'field')} more"] if len(fields) > _FIELDS else []
    shown = score(run.score, run.metric)
    return (
        row.name,
        run.task or "-",
        run.state,
        f"{epoch}/{epochs}",
        shown,
        started,
        ", ".join([*fields[:_FIELDS], *more]),
    )


def compare_lines(found: Comparison) -> Iterator[str]:
    """The runs by letters, then what differs, then the scores."""
    letters = [chr(ord("A") + place) for place in range(len(found.runs))]
    yield from columns([(letter, str(run.folder), run.state) for letter, run in zip(letters, found.runs, strict=True)])
    yield ""
    yield f"spec: {counted(len(found.spec), 'field differs', 'fields differ')}, {found.same} are the same"
    yield from _differences([(one.name, one.values) for one in found.spec], letters)
    yield ""
    yield "beside the spec:" if found.facts else "beside the spec nothing differs that is recorded"
    yield from _differences([(one.name, one.values) for one in found.facts], letters)
    yield ""
    head = ("score, %", *letters, *(f"{letter} - A" for letter in letters[1:]))
    rows = [head]
    for row in found.scores:
        name = f"{row.metric} {row.of_class}".strip()
        rows.append((name, *map(_percent, row.values), *(_change(value, row.values[0]) for value in row.values[1:])))
    first = found.seconds[0]
    times = ["" if first is None or second is None else f"{_ratio(second, first)}" for second in found.seconds[1:]]
    rows.append(("time of the epochs", *map(_clock, found.seconds), *times))
    yield from columns(rows)


def _differences(rows: Sequence[tuple[str, Sequence[Plain | None]]], letters: Sequence[str]) -> list[str]:
    if not rows:
        return []
    return columns(
        [("", *letters), *((name, *("-" if v is None else _short(v) for v in values)) for name, values in rows)],
        indent="  ",
    )


def lineage_lines(lineage: Lineage, *, above: str = "", indent: str = "") -> Iterator[str]:
    """A tree: what was made of something is below it, to the right."""
    nodes = lineage.below(above)
    for place, node in enumerate(nodes):
        last = place == len(nodes) - 1
        branch = "" if above == "" else ("└─ " if last else "├─ ")
        yield f"{indent}{branch}{node_text(node)}"
        deeper = indent if above == "" else indent + ("   " if last else "│  ")
        yield from lineage_lines(lineage, above=node.key, indent=deeper)


def node_text(node: Node) -> str:
    """One thing in one line: kind, name, short hash, what is known of it."""
    facts: list[str] = [node.hash[:8]] if node.hash else []
    known = node.facts
    if node.kind == "run":
        facts.append(known["state"])
        if known.get("score") is not None:
            facts.append(score(known["score"], known["metric"]))
    if isinstance(known.get("parameters"), int):
        facts.append(f"{known['parameters'] / 1e6:.2f} M parameters")
    facts += [str(known[name]) for name in ("backend", "backend_version", "precision") if known.get(name)]
    if isinstance(known.get("exported"), float):
        facts.append(score(known["exported"], str(known.get("metric", ""))))
    if known.get("passed") is False:
        facts.append("rejected by its gate")
    if started := known.get("started_from"):
        facts.append(f"from {started['file'] or 'a model'} {started['hash'][:8]}")
    if node.kind == "run" and node.data and node.parent != node.data:
        facts.append(f"on data {node.data[5:13]}")
    if known.get("rerun_of"):
        facts.append(f"rerun of {known['rerun_of']}")
    if not node.there:
        facts.append("the file is gone")
    return printable(f"{node.kind} {node.name}  {', '.join(facts)}".rstrip())


def garbage_lines(found: Sequence[Garbage]) -> Iterator[str]:
    """One row for each group of files, with its size, and the sum."""
    rows = [
        (
            megabytes(one.size),
            counted(len(one.files), "file"),
            one.reason + (" (it has checkpoints: the same command goes on with it)" if one.can_resume else ""),
            str(one.place),
        )
        for one in found
    ]
    yield from columns([("size", "files", "what", "where"), *rows])
    yield f"{megabytes(sum(one.size for one in found))} in all"


def score(value: float | None, metric: str) -> str:
    """A score with the name of its metric.

    >>> score(0.90104, "mAP")
    'mAP 90.10 %'
    """
    return "-" if value is None else f"{metric} {100 * value:.2f} %".lstrip()


def megabytes(size: int) -> str:
    """Bytes as MB.

    >>> megabytes(89_612_345)
    '89.6 MB'
    """
    return f"{size / 1e6:,.1f} MB"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _change(value: float | None, first: float | None) -> str:
    return "" if value is None or first is None else f"{100 * (value - first):+.2f}"


def _ratio(value: float, first: float) -> str:
    return f"x {value / first:.2f}" if first else ""


def _clock(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))


def _short(value: Any) -> str:
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return text if len(text) <= _WIDEST else f"...{text[-_WIDEST:]}"

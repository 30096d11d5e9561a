"""The sections that show records: pruning, exports, files, lineage, spec, environment. None where there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taolite.report.html.cells import big, milliseconds, percent, plain, share
from taolite.report.html.drawings import table_of
from taolite.report.html.facts import RunFacts, number, table, tables
from taolite.report.markup import Html, el, join, text
from taolite.report.svg import Series, chart
from taolite.wording import counted

__all__ = ["artifacts", "environment", "lineage", "pruning", "quantisation", "spec"]


def pruning(facts: RunFacts) -> Html | None:
    """Sweeps over pruning thresholds."""
    made = []
    for name, sweep in facts.sweeps:
        rows = tables(sweep.get("rows"))
        whole, metric = number(sweep.get("unpruned")), str(sweep.get("metric", "score"))
        heads = ["threshold", "parameters left", "parameters", "MACs", f"{metric} as it is", f"{metric} settled",
                 f"{metric} fine-tuned", "latency"]  # fmt: skip
        cells = [
            [plain(row.get("threshold")), percent(row.get("share")), big(row.get("parameters")),
             big(row.get("macs")), share(row.get("score")), share(row.get("settled")), share(row.get("finetuned")),
             milliseconds(row.get("latency_ms"))]
            for row in rows
        ]  # fmt: skip
        lines = []
        for index, (key, said) in enumerate((("score", "as it is"), ("settled", "batch norms measured again"),
                                             ("finetuned", "after fine-tuning"))):  # fmt: skip
            points = sorted((100 * left, value) for row in rows
                            if (left := number(row.get("share"))) is not None
                            and (value := number(row.get(key))) is not None)  # fmt: skip
            lines.append(Series(said, points, (7, 1, 0)[index]))
        picture = chart(lines, title="score over what is left", x_label="parameters left, %", y_range=(0.0, 1.03))
        images = counted(round(number(sweep.get("images")) or 0), "picture")
        unpruned = None if whole is None else el("p", f"Unpruned: {metric} {whole:.3f} on {images}.")
        made.append(join(el("h3", el("bdi", name)), unpruned,
                         el("div", picture, class_="card") if any(one.points for one in lines) else None,
                         table_of(heads, cells)))  # fmt: skip
    return join(*made) if made else None


def quantisation(facts: RunFacts) -> Html | None:
    """What exports keep of the trained model's score."""
    rows = []
    for name, gate in facts.gates:
        floats = gate.get("floats")
        drop = number(gate.get("drop"))
        rows.append([
            el("bdi", name), plain(gate.get("precision")), percent(gate.get("trained"), 2),
            percent(gate.get("exported"), 2), None if drop is None else f"{drop:.2f}",
            "yes" if gate.get("passed") is True else "no", plain(gate.get("images")),
            ", ".join(map(str, floats)) if isinstance(floats, list) else "none",
        ])  # fmt: skip
    heads = ["export", "precision", "trained", "exported", "points lost", "passed", "pictures", "layers in float"]
    return table_of(heads, rows) if rows else None


def artifacts(facts: RunFacts) -> Html | None:
    """The files of the run."""
    rows = []
    for name, model in zip(facts.files, facts.models, strict=True):
        size = number(model.get("bytes"))
        rows.append([
            el("bdi", name), None if size is None else f"{size / 1e6:.2f} MB",
            big(model.get("parameters")), el("code", str(model.get("sha256", ""))[:16]),
            _signed(model),
        ])  # fmt: skip
    return table_of(["file", "size", "parameters", "sha256 begins", "signed by"], rows) if rows else None


def _signed(model: Mapping[str, Any]) -> str:
    signature = table(model.get("signature"))
    return str(signature.get("signer")) if signature.get("fits") is True else "nobody"


def lineage(facts: RunFacts) -> Html | None:
    """What came before, as the model tells it to those with its key; then data, run, and what was made of it."""
    steps: list[tuple[str, Html | str]] = []
    for model in facts.models:
        if str(model.get("path", "")).endswith(f"/{facts.record.weights.name}"):
            steps += [(str(one.get("stage", "step")), _facts_line(one)) for one in tables(model.get("lineage"))[:-1]]
    is_told = bool(steps)
    for node in facts.lineage.nodes:
        for fact, called in (("started_from", "started from"), ("taught_by", "teacher")):
            if (weights := table(node.facts.get(fact))) and not (is_told and fact == "started_from"):
                about = join("weights ", el("code", str(weights.get("hash", ""))[:16]))
                steps.append((called, join(about, " ", el("bdi", str(weights.get("file", ""))))))
        words = [str(node.facts[name]) for name in _TOLD if node.facts.get(name)]
        words += [] if node.there else ["file is gone"]
        name = node.path if node.kind in ("data", "run") and node.path else node.name
        called = "this run" if node.kind == "run" else node.kind
        steps.append((called, join(el("bdi", name), f" {', '.join(words)} ", el("code", node.hash[:16]))))
    return table_of(["step", "what"], [[text(step), what] for step, what in steps], left=True)


_TOLD = ("backend", "backend_version", "precision")  # of a node


def _facts_line(step: Mapping[str, Any]) -> str:
    """The plain entries of a step of a lineage."""
    words = []
    for name, value in step.items():
        if name == "stage" or isinstance(value, (Mapping, list)) or value in ("", None):
            continue
        short = value[:16] if isinstance(value, str) and len(value) == 64 else value
        words.append(f"{name} {short:.4g}" if isinstance(short, float) else f"{name} {short}")
    return ", ".join(words)


def environment(facts: RunFacts) -> Html | None:
    """Versions, hardware, seed."""
    manifest = facts.record.manifest
    rows: list[tuple[str, str]] = []
    for group in ("versions", "hardware", "device"):
        rows += [(name, str(value)) for name, value in table(manifest.get(group)).items() if value not in (None, "")]
    rows += [(name, str(manifest[name])) for name in ("seed", "batch_size") if name in manifest]
    return table_of(["", ""], [[text(name), text(value)] for name, value in rows], left=True) if rows else None


def spec(facts: RunFacts) -> Html | None:
    """What the spec sets, then all of it."""
    whole = facts.record.spec
    if not whole:
        return None
    rows = [[el("code", path), el("bdi", value), default] for path, value, default in facts.changes]
    changes = table_of(["field", "value", "default"], rows, left=True) if rows else None
    count = counted(len(rows), "field")
    verb = "differs from its default, or has" if len(rows) == 1 else "differ from their defaults, or have"
    head = el("p", f"{count} {verb} none.") if rows else None
    every = el("details", el("summary", "The whole spec"), el("pre", whole))
    return join(head, el("details", el("summary", "Show them"), changes) if len(rows) > 24 else changes, every)

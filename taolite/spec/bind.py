"""From the tree of a spec to its frozen models, or to all problems at once.

There are three passes. The first compares the tree with the model: names, types, ranges, missing fields. A field with a
problem is unsound. The second runs the model's own checks, which compare several fields, where these are sound. If
there is no problem, the third builds the model with pydantic.

Repeated fields are merged as in TAO: two blocks of one name are one block; of two scalars, and of two map entries with
one key, the last is used. A warning is given for the latter two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from taolite.errors import MOST_SHOWN, SpecProblem
from taolite.spec.model import Finding, Key, Path, SpecModel, show_path
from taolite.spec.shape import Shape, shapes
from taolite.spec.text import Block, Entry, Scalar, Tree
from taolite.spec.values import UnfitError, value_of
from taolite.wording import nearest

__all__ = ["Bound", "all_notes", "any_open", "bind"]

Model = TypeVar("Model", bound=SpecModel)


@dataclass(frozen=True)
class Bound(Generic[Model]):
    """The result of `bind`: the model, or None and the problems; the warnings; line and column of what is written."""

    model: Model | None
    problems: tuple[SpecProblem, ...]
    warnings: tuple[SpecProblem, ...]
    places: Mapping[Path, tuple[int, int]]


def bind(tree: Tree, model: type[Model]) -> Bound[Model]:
    """Bind the tree of a spec to `model`. A mistake in the spec is a problem of the result; it is not raised."""
    binder = _Binder(tree)
    plain, lenient = binder.message(model, [tree.root], (), (0, 0), ())
    binder.check(lenient, ())
    problems = tuple(sorted(set(binder.problems)))
    if problems:
        return Bound(None, problems, (), binder.places)
    built = model.model_validate(plain)
    for finding in all_notes(built):
        binder.warnings.append(
            SpecProblem(*binder.place(finding.at), f"{show_path(finding.at)} {finding.text}".strip())
        )
    return Bound(built, (), tuple(sorted(set(binder.warnings))), binder.places)


def all_notes(model: SpecModel, path: Path = ()) -> Iterator[Finding]:
    """All warnings about a model and the messages inside it; `at` is the path from the outermost message."""
    for shape in shapes(type(model)).values():
        value = getattr(model, shape.name)
        if shape.ignored and value is not None and value != shape.default:
            yield Finding((*path, shape.spec_name), f"is read and has no effect: {shape.ignored}")
        for step, child in _children(shape, value):
            yield from all_notes(child, (*path, *step))
    for finding in model.spec_notes():
        yield Finding((*path, *finding.at), finding.text)


def _children(shape: Shape, value: Any) -> Iterator[tuple[Path, SpecModel]]:
    """The messages inside one field, each with its path from the message that has the field."""
    if shape.kind != "message" or value is None:
        return
    if shape.repeats == "list":
        yield from (((shape.spec_name, index), item) for index, item in enumerate(value))
    elif shape.repeats == "map":
        yield from (((shape.spec_name, Key(key)), item) for key, item in value.items())
    else:
        yield (shape.spec_name,), value


@dataclass
class _Binder:
    tree: Tree
    problems: list[SpecProblem] = field(default_factory=list)
    warnings: list[SpecProblem] = field(default_factory=list)
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    unsound: list[Path] = field(default_factory=list)
    _broken: bool | None = None  # result of `_grammar_broken`

    def __post_init__(self) -> None:
        self.problems.extend(self.tree.problems)

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column of `path`, or of the nearest outer field that is written in the spec; (0, 0) is the file."""
        while path:
            if path in self.places:
                return self.places[path]
            path = path[:-1]
        return (0, 0)

    def message(
        self,
        model: type[SpecModel],
        blocks: Sequence[Block],
        path: Path,
        place: tuple[int, int],
        outer: tuple[type[SpecModel], ...],
    ) -> tuple[dict[str, Any], SpecModel]:
        """Bind the entries of `blocks`, merged, to `model`.

        Returns the plain values of what is sound, and a model of them built without any check.
        """
        known = shapes(model)
        given: dict[str, list[Entry]] = {}
        for block in blocks:
            for entry in self._entries(block, model, path, outer):
                if entry.name in known:
                    given.setdefault(entry.name, []).append(entry)
                else:
                    text = f"{show_path((*path, entry.name))} is not a field here{self._near(entry.name, known)}"
                    self.problems.append(SpecProblem(entry.line, entry.column, text))
        plain: dict[str, Any] = {}
        lenient: dict[str, Any] = {}
        for name, shape in known.items():
            if name in given:
                self._field(shape, given[name], (*path, name), (*outer, model), plain, lenient)
            elif shape.required:
                self._missing(shape, (*path, name), place)
        return plain, model.model_construct(**lenient)

    def _entries(
        self, block: Block, model: type[SpecModel], path: Path, outer: tuple[type[SpecModel], ...]
    ) -> Iterator[Entry]:
        """The entries of a block. A block that is not closed ends before the first field of an outer message."""
        for entry in block.entries:
            alien = entry.name not in shapes(model) and any(entry.name in shapes(above) for above in outer)
            if not block.closed and alien:
                text = (
                    f"the block {show_path(path)} is not closed; add a `}}` before `{entry.name}` on line {entry.line}"
                )
                self.problems.append(SpecProblem(block.line, block.column, text))
                return
            yield entry
        if not block.closed:
            text = f"the block {show_path(path)} is not closed; add a `}}`"
            self.problems.append(SpecProblem(block.line, block.column, text))

    def _missing(self, shape: Shape, path: Path, place: tuple[int, int]) -> None:
        self.unsound.append(path)
        if self.problems and self._grammar_broken():
            return  # it may be in the part that could not be read
        if shape.repeats != "no":
            need = "add one or more"
        elif shape.kind == "message":
            need = f"add the block `{shape.spec_name} {{ }}`"
        elif shape.choices:
            words = [f"`{choice}`" if isinstance(choice, str) else str(choice) for choice in shape.choices]
            need = "it needs to be " + ", ".join(words[:-1]) + " or " + words[-1]
        elif shape.kind in ("int", "float", "int_or_float"):
            need = f"it needs to be {shape.range.needs()}"
        else:
            need = "it needs a value"
        self.problems.append(SpecProblem(*place, f"{show_path(path)} is missing; {need}"))

    def _grammar_broken(self) -> bool:
        if self._broken is None:
            self._broken = bool(self.tree.problems) or any_open(self.tree.root)
        return self._broken

    def _near(self, word: str, known: Iterable[str]) -> str:
        """`nearest`, for the problems that a message shows; it is slow."""
        return nearest(word, known) if len(self.problems) < MOST_SHOWN else ""

    def _field(
        self,
        shape: Shape,
        entries: list[Entry],
        path: Path,
        outer: tuple[type[SpecModel], ...],
        plain: dict[str, Any],
        lenient: dict[str, Any],
    ) -> None:
        """Bind all entries of one field into `plain` and `lenient`."""
        self.places[path] = (entries[0].line, entries[0].column)
        before = len(self.problems)
        if shape.repeats == "no":
            result = self._single(shape, entries, path, outer)
        elif shape.repeats == "list":
            result = self._list(shape, entries, path, outer)
        else:
            result = self._map(shape, entries, path, outer)
        if result is not None:
            plain[shape.name], lenient[shape.name] = result
        if len(self.problems) == before and shape.repeats != "no" and len(plain[shape.name]) < shape.range.min_length:
            self.problems.append(SpecProblem(*self.places[path], f"{show_path(path)} is empty; add one or more"))
        if result is None or (shape.kind != "message" and len(self.problems) > before):
            self.unsound.append(path)

    def _single(
        self, shape: Shape, entries: list[Entry], path: Path, outer: tuple[type[SpecModel], ...]
    ) -> tuple[Any, Any] | None:
        values: list[tuple[Entry, Scalar | Block]] = []
        for entry in entries:
            if entry.is_list:
                self._problem(entry, path, "takes one value, not a list; remove the `[` and `]`")
            values.extend((entry, value) for value in entry.values)
        if shape.kind == "message":
            blocks = [block for block in (self._block(*pair, path) for pair in values) if block is not None]
            assert shape.model is not None
            return self.message(shape.model, blocks, path, self.places[path], outer)
        result = None
        for entry, value in values:
            result = self._scalar(shape, entry, value, path)
        if len(values) > 1 and result is not None:
            text = f"{show_path(path)} is given {len(values)} times; the last is used"
            self.warnings.append(SpecProblem(*self.places[path], text))
        return None if result is None else (result, result)

    def _list(
        self, shape: Shape, entries: list[Entry], path: Path, outer: tuple[type[SpecModel], ...]
    ) -> tuple[Any, Any]:
        plain: list[Any] = []
        lenient: list[Any] = []
        for entry in entries:
            if entry.is_list and not entry.has_colon and shape.kind != "message":
                self._problem(entry, path, "needs a `:` before its list")
            for value in entry.values:
                here = (*path, len(plain))
                if shape.kind == "message":
                    block = self._block(entry, value, path)
                    if block is None:
                        continue
                    assert shape.model is not None
                    place = (block.line, block.column) if entry.is_list else (entry.line, entry.column)
                    self.places[here] = place
                    one = self.message(shape.model, [block], here, place, outer)
                    plain.append(one[0])
                    lenient.append(one[1])
                else:
                    item = self._scalar(shape, entry, value, here)
                    plain.append(item)
                    lenient.append(item)
        return tuple(plain), tuple(lenient)

    def _map(
        self, shape: Shape, entries: list[Entry], path: Path, outer: tuple[type[SpecModel], ...]
    ) -> tuple[Any, Any]:
        plain: dict[str, Any] = {}
        lenient: dict[str, Any] = {}
        for entry in entries:
            for value in entry.values:
                block = self._block(entry, value, path)
                if block is None:
                    continue
                bound = self._map_entry(shape, entry, block, path, outer)
                if bound is None:
                    self.unsound.append(path)
                    continue
                key, (sound, loose) = bound
                if key in plain:
                    text = f'{show_path(path)} has two entries for "{key}"; the last is used'
                    self.warnings.append(SpecProblem(entry.line, entry.column, text))
                plain[key], lenient[key] = sound, loose
        return plain, lenient

    def _map_entry(
        self, shape: Shape, entry: Entry, block: Block, path: Path, outer: tuple[type[SpecModel], ...]
    ) -> tuple[str, tuple[Any, Any]] | None:
        """One `{ key: ... value ... }`; None if it cannot be read."""
        keys: list[Entry] = []
        values: list[Entry] = []
        before = len(self.problems)
        for part in self._entries(block, _MapEntry, path, outer):
            if part.name == "key":
                keys.append(part)
            elif part.name == "value":
                values.append(part)
            else:
                near = self._near(part.name, ("key", "value")) or "; an entry has a `key` and a `value`"
                self._problem(part, (*path, part.name), f"is not a field here{near}")
        for name, parts in (("key", keys), ("value", values)):
            if not parts and not self._grammar_broken():
                self._problem(entry, path, f"has an entry without `{name}`; add it")
        if not keys or not values:
            return None
        key = self._single(shapes(_MapEntry)["key"], keys, (*path, "key"), outer) if self._mark(path, keys) else None
        if key is None:
            return None
        here = (*path, Key(key[0]))
        self.places[here] = (entry.line, entry.column)
        one = Shape(**{**shape.__dict__, "repeats": "no", "zero_is_default": False})
        value = self._single(one, values, here, outer)
        if value is None or (shape.kind != "message" and len(self.problems) > before):
            self.unsound.append(here)
        return None if value is None else (key[0], value)

    def _mark(self, path: Path, keys: list[Entry]) -> bool:
        self.places[(*path, "key")] = (keys[0].line, keys[0].column)
        return True

    def _scalar(self, shape: Shape, entry: Entry, value: Scalar | Block, path: Path) -> Any:
        """The value; None after adding a problem."""
        if isinstance(value, Block):
            self._problem(value, path, "is a block; it needs to be a single value after `:`")
            return None
        try:
            result = value_of(shape, value)
        except UnfitError as unfit:
            self._problem(value, path, str(unfit))
            return None
        self.places[path] = (value.line, value.column)
        return result

    def _block(self, entry: Entry, value: Scalar | Block, path: Path) -> Block | None:
        """The value if it is a block; None after adding a problem."""
        if isinstance(value, Block):
            return value
        self._problem(value, path, f"is {value.text}; it needs to be a block, `{entry.name} {{ }}`")
        self.unsound.append(path)
        return None

    def _problem(self, at: Entry | Scalar | Block, path: Path, text: str) -> None:
        self.problems.append(SpecProblem(at.line, at.column, f"{show_path(path)} {text}"))

    def check(self, model: SpecModel, path: Path) -> None:
        """Run the checks of `model` and of what is inside it, where the fields they use are sound."""
        for shape in shapes(type(model)).values():
            for step, child in _children(shape, getattr(model, shape.name, None)):
                self.check(child, (*path, *step))
        for method in type(model).spec_checks():
            uses: tuple[tuple[str, ...], ...] = method.uses  # type: ignore[attr-defined]
            if all(self._sound(path, use) for use in uses):
                for finding in method(model):
                    at = (*path, *finding.at)
                    text = f"{show_path(at)} {finding.text}".strip()
                    self.problems.append(SpecProblem(*self.place(at), text))

    def _sound(self, path: Path, use: tuple[str, ...]) -> bool:
        """True if the field `use` of the message at `path` is sound, and so are the messages around and inside it."""
        for bad in self.unsound:
            if bad[: len(path)] != path:
                if path[: len(bad)] == bad:
                    return False
                continue
            tail = tuple(step for step in bad[len(path) :] if isinstance(step, str) and not isinstance(step, Key))
            if tail[: len(use)] == use or use[: len(tail)] == tail:
                return False
        return True


class _MapEntry(SpecModel):
    """The two fields of a map entry: their names, and the type of the key."""

    key: str
    value: str = ""


def any_open(block: Block) -> bool:
    """True if the block or one inside it is not closed."""
    blocks = [value for entry in block.entries for value in entry.values if isinstance(value, Block)]
    return not block.closed or any(any_open(inner) for inner in blocks)

"""Command lines of taolite 0.1.0 that are now written in another way.

`taolite ssd train --dataset-type=voc ...` and similar commands had the flags of jetson-inference and pytorch-ssd behind
the names of TAO's tasks. These flags now have commands of their own, `taolite jetson train_ssd.py ...`. TAO's own flags
are tried first. Only where they fail does one line name the command that accepts these words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from taolite.cli.parsing import TaoParser, command_line

__all__ = ["watch"]

_MOVED = {
    ("classification", "train"): "train.py",
    ("classification", "export"): "classification/onnx_export.py",
    ("classification", "onnx_export"): "classification/onnx_export.py",
    ("classification", "inference"): "imagenet",
    ("ssd", "train"): "train_ssd.py",
    ("ssd", "export"): "ssd/onnx_export.py",
    ("ssd", "onnx_export"): "ssd/onnx_export.py",
    ("ssd", "eval"): "eval_ssd.py",
    ("ssd", "eval_ssd"): "eval_ssd.py",
    ("ssd", "run_ssd_example"): "run_ssd_example.py",
    ("ssd", "inference"): "detectnet",
}


def watch(group: TaoParser, name: str) -> None:
    """Let the tasks of `taolite name` name the new command where a command line does not fit TAO's flags."""
    if not any(one == name for one, _ in _MOVED):
        return
    group.elsewhere = lambda parser, words: _gone(name, parser, words)
    for action in group._actions:
        if isinstance(action, argparse._SubParsersAction):
            for task, parser in action.choices.items():
                if (name, task) in _MOVED:
                    word = _MOVED[name, task]
                    parser.elsewhere = lambda parser, words, word=word: _meant(parser, word, words)


def _gone(name: str, group: argparse.ArgumentParser, words: Sequence[str]) -> str | None:
    """The new command line for a task that no longer exists."""
    verb, *rest = words or ("",)
    word = _MOVED.get((name, verb))
    return f"{group.prog} {verb} is now: {_line(word, rest)}" if word else None


def _meant(task: TaoParser, word: str, words: Sequence[str]) -> str | None:
    """The new command line, or None. It is given where `words` have a flag that the program `word` knows and TAO's task
    does not, or where the program knows all of them and none is one of TAO's short flags."""
    from taolite.cli.jetson.front import parser_of, takes

    program = parser_of(word)
    flags = [one for one in words if one.startswith("--") and len(one) > 2]
    foreign = any(task.flag(one) is None and program.flag(program.spelled([one])[0]) is not None for one in flags)
    short = any(one.startswith("-") and not one.startswith("--") for one in words)
    if foreign or (flags and not short and takes(program, words)):
        return f"these are flags of {word}: {_line(word, words)}"
    return None


def _line(word: str, words: Sequence[str]) -> str:
    return command_line(["taolite", "jetson", word, *words])

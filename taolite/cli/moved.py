"""Command lines of taolite 0.1.0 that are spelled in another way now.

`taolite ssd train --dataset-type=voc ...` and its like were jetson-inference's and pytorch-ssd's flags behind the names
of TAO's tasks. They have a front door of their own now, `taolite jetson train_ssd.py ...`. Nothing is told from the
words before TAO's own flags have failed; then one line names the command that takes these words.
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
    """Let the tasks of `taolite name` tell where a command line went that TAO's flags do not fit."""
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
    """The new command line of a verb that is no more."""
    verb, *rest = words or ("",)
    word = _MOVED.get((name, verb))
    return f"{group.prog} {verb} is now: {_line(word, rest)}" if word else None


def _meant(task: TaoParser, word: str, words: Sequence[str]) -> str | None:
    """The new command line, where `words` have a flag that TAO's task does not know and the program `word` does, or
    where they are all the program's and have none of TAO's short flags."""
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

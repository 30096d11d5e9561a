"""`taolite doctor [FOLDER]`: one line for each check, with the way out. Exit code 1 where a needed part is broken."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taolite.cli.parsing import mount_flag
from taolite.extras import install_command
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.doctor.finding import Finding

__all__ = ["configure", "line"]

_MOST = 3  # files or packages that a line names
_STATES = {"ok": "ok", "absent": "-", "warning": "warning", "broken": "BROKEN"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite doctor`."""
    add = parser.add_argument
    text = "folder with runs, exports and mounts file (default: the current folder)"
    add("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help=text)
    add("--key-file", type=Path, metavar="FILE", help="also check the permissions of this key file")
    add("--deep", action="store_true", help="also run a small model in each runtime and read every engine (seconds)")
    add("--json", action="store_true", help="print one JSON object")
    mount_flag(add)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.doctor.examine import examine, works

    found = []
    for finding in examine(options.folder, key_file=options.key_file, mounts=options.mount, deep=options.deep):
        found.append(finding)
        if not options.json:
            print(line(finding), flush=True)
    good = works(found)
    if options.json:
        rows = [{**vars(one), "facts": dict(one.facts), "text": text(one)} for one in found]
        print(json.dumps({"works": good, "findings": rows}, ensure_ascii=False, indent=2))
    else:
        print(_sum(found))
    return 0 if good else 1


def line(finding: Finding) -> str:
    """State, name and sentence of a finding, on one line."""
    said = " ".join(text(finding).split())
    return f"{_STATES[finding.state]:<8} {finding.check.replace('_', '-'):<18} {said}"


def text(finding: Finding) -> str:
    """What a finding says, with the way out. A probe has the words of all probes."""
    check = "probe" if finding.check.endswith(" probe") else finding.check
    say = _WORDS.get((check, finding.problem)) or _WORDS[("runtime", finding.problem)]
    return say(finding.facts)


def _sum(found: list[Finding]) -> str:
    broken, warnings = (sum(one.state == state for one in found) for state in ("broken", "warning"))
    if not broken and not warnings:
        return "all that is needed works"
    head = (
        f"{counted(broken, 'check')} {'is' if broken == 1 else 'are'} broken" if broken else "all that is needed works"
    )
    return f"{head}; {counted(warnings, 'warning')}" if warnings else head


Facts = Mapping[str, Any]


def _few(items: list[str]) -> str:
    return ", ".join(items[:_MOST]) + (f" and {len(items) - _MOST} more" if len(items) > _MOST else "")


def _wrong(facts: Facts) -> str:
    """The packages that do not fit: name, version, what is needed."""
    return _few([f"{one['name']} {one['found'] or 'is missing'} (needed: {one['needed']})" for one in facts["wrong"]])


def _gib(mib: int | None) -> str:
    return "unknown" if mib is None else f"{mib / 1024:.1f} GiB"


def _torch(facts: Facts) -> str:
    build = f"built for CUDA {facts['cuda']}" if facts["cuda"] else "built without CUDA"
    return f"{facts['version']}, {build}"


def _gpu(facts: Facts) -> str:
    return f"{', '.join(facts['gpus'])}; driver for CUDA {facts['cuda']}"


def _runtime(facts: Facts) -> str:
    return f"{facts['version']}"


def _extras(facts: Facts) -> str:
    installed = f"installed: {', '.join(facts['installed']) or 'none'}"
    if not facts["absent"]:
        return installed
    return f"{installed}; not installed: {', '.join(facts['absent'])} ({install_command('NAME')})"


def _memory(facts: Facts) -> str:
    limit = "" if facts["limit_mib"] is None else f", limited to {_gib(facts['limit_mib'])} by the control group"
    return f"{_gib(facts['total_mib'])}, {_gib(facts['free_mib'])} free{limit}"


def _cores(facts: Facts) -> str:
    quota = "" if facts["quota"] is None else f", processor time of {facts['quota']:g}"
    threads = "" if facts["threads"] is None else f", OMP_NUM_THREADS={facts['threads']}"
    return f"{facts['usable']} of {counted(facts['cores'], 'core')} usable{quota}{threads}"


def _folder(facts: Facts) -> str:
    return f"{facts['folder']}: mode {facts['mode']}"


def _display(facts: Facts) -> str:
    shown = "a display" if facts["display"] else "no display (windows are not shown; files and streams work)"
    return f"{shown}, {counted(len(facts['cameras']), 'camera')}"


def _results(facts: Facts, sentence: str) -> str:
    return sentence if facts["whole"] else f"{sentence}; not all folders were looked through: name a smaller FOLDER"


def _stale_exports(facts: Facts) -> str:
    said = [
        f"{one['file']} is older than {one['newer']} beside it; if it was made from that model, export it again"
        for one in facts["stale"]
    ]
    said += facts["wrong"]
    return said[0] + (f" (and {len(said) - 1} more: --json lists all)" if len(said) > 1 else "")


def _mounts(facts: Facts) -> str:
    if not facts["mounts"]:
        return "no mounts file and no --mount"
    return f"{counted(facts['mounts'], 'mount')} of {', '.join(facts['files'])}"


_WORDS: dict[tuple[str, str], Callable[[Facts], str]] = {
    ("python", ""): lambda f: f"{f['version']} in {f['folder']}; taolite {f['taolite']}",
    ("python", "version"): lambda f: f"{f['version']} is too old; install Python {f['needed']} or newer",
    ("packages", ""): lambda f: f"the {counted(f['packages'], 'package')} of the base fit",
    ("packages", "wrong"): lambda f: f"{_wrong(f)}; run pip install --upgrade taolite",
    ("packages", "unknown"): lambda f: "taolite is not installed, so versions are not checked; run pip install -e .",
    ("torch", ""): _torch,
    ("torch", "missing"): lambda f: f"not installed: {install_command(f['extra'])}",
    ("torch", "wrong"): lambda f: f"{_torch(f)}; {_wrong(f)}; run {install_command(f['extra'])}",
    ("gpu", ""): _gpu,
    ("gpu", "no driver"): lambda f: "no NVIDIA driver: everything is computed on the processor",
    ("gpu", "no gpu"): lambda f: (
        f"driver for CUDA {f['cuda']}, but no GPU to use; look at nvidia-smi, CUDA_VISIBLE_DEVICES, and --gpus of "
        "docker run"
    ),
    ("gpu", "driver"): lambda f: (
        f"{_gpu(f)}, and PyTorch is built for CUDA {f['torch_cuda']}; update the driver, or install a PyTorch for CUDA "
        f"{f['cuda'].split('.')[0]}"
    ),
    ("onnxruntime", ""): lambda f: f"{f['version']}: {', '.join(f['providers'])}",
    ("onnxruntime", "import"): lambda f: (
        f"cannot be loaded ({f['reason']}); run pip install --force-reinstall onnxruntime"
    ),
    ("onnxruntime", "twice"): lambda f: (
        f"{' and '.join(f['packages'])} are both installed and overwrite each other's files; uninstall all of them, "
        "then install one"
    ),
    ("runtime", ""): _runtime,
    ("runtime", "missing"): lambda f: f"not installed: {f['install'].removeprefix('run ').replace('`', '')}",
    ("runtime", "wrong"): lambda f: f"{_wrong(f)}; {f['install'].replace('`', '')}",
    ("extras", ""): _extras,
    ("extras", "wrong"): lambda f: f"{_extras(f)}; {_wrong(f)}; run {install_command(f['wrong'][0]['extra'])}",
    ("telemetry", ""): lambda f: "off in ONNX Runtime, OpenVINO, MLflow and W&B",
    ("telemetry", "on"): lambda f: f"not off: {', '.join(f['on'])}; unset it, and taolite switches it off",
    ("probe", ""): lambda f: "ran a small model" + (f" on {f['device']}" if "device" in f else ""),
    ("probe", "failed"): lambda f: f"{f['title']} failed: {f['reason']}; install it again",
    ("probe", "result"): lambda f: f"{f['title']} computed a wrong result; install another version",
    ("memory", ""): _memory,
    ("memory", "little"): lambda f: (
        f"{_memory(f)}; a training wants {_gib(f['wanted_mib'])} or more: end other programs, raise the limit, or "
        "lower the batch size"
    ),
    ("cores", ""): _cores,
    ("cores", "threads"): lambda f: f"{_cores(f)}: more threads than cores are slower; set it to {f['most']} or less",
    ("disk", ""): lambda f: f"{_gib(f['free_mib'])} free of {_gib(f['total_mib'])}",
    ("disk", "little"): lambda f: (
        f"{_gib(f['free_mib'])} free; checkpoints and engines may want {_gib(f['wanted_mib'])}: free some space, or "
        "lower --keep_checkpoints"
    ),
    ("disk", "full"): lambda f: f"{_gib(f['free_mib'])} free of {_gib(f['total_mib'])}; free some space",
    ("disk", "unknown"): lambda f: f"{f['folder']}: {f['reason']}; name a folder that is there",
    ("workspace", ""): _folder,
    ("workspace", "unwritable"): lambda f: (
        f"{f['folder']}: no file can be made here ({f['reason']}); correct its owner or permissions, or choose another"
    ),
    ("workspace", "open"): lambda f: f"{_folder(f)}: every user can change it; run chmod o-w {f['folder']}",
    ("cache", ""): _folder,
    ("cache", "unwritable"): lambda f: (
        f"{f['folder']}: no file can be made here ({f['reason']}); set XDG_CACHE_HOME to a folder of your own"
    ),
    ("cache", "open"): lambda f: f"{_folder(f)}: every user can change engines there; run chmod o-w {f['folder']}",
    ("key", ""): lambda f: (
        f"{f['variable']} is {'set' if f['set'] else 'not set; give -k @FILE where a key is needed'}"
    ),
    ("key", "published"): lambda f: (
        f"{f['variable']} is a key from NVIDIA's documents, known to everybody; choose another"
    ),
    ("key file", ""): lambda f: f"{f['file']}: mode {f['mode']}",
    ("key file", "unreadable"): lambda f: f"{f['file']}: cannot be read ({f['reason']}); correct the path or its owner",
    ("key file", "empty"): lambda f: f"{f['file']}: empty; write the key in it, on one line",
    ("key file", "published"): lambda f: (
        f"{f['file']}: a key from NVIDIA's documents, known to everybody; choose another"
    ),
    ("key file", "open"): lambda f: (
        f"{f['file']}: other users can read it (mode {f['mode']}); run chmod 600 {f['file']}"
    ),
    ("mounts", ""): _mounts,
    ("mounts", "unreadable"): lambda f: f["reason"],
    ("mounts", "nowhere"): lambda f: (
        f"{f['nowhere'][0]['source']}: {f['nowhere'][0]['origin']} mounts this folder at "
        f"{f['nowhere'][0]['destination']}, and it does not exist; make it, or change the mount"
        + (f" (and {len(f['nowhere']) - 1} more: --json lists all)" if len(f["nowhere"]) > 1 else "")
    ),
    ("fonts", ""): lambda f: "Latin, Cyrillic, Chinese, Japanese and Korean letters",
    ("fonts", "missing"): lambda f: (
        f"no font of this system has {' '.join(f['missing'])}: such letters are drawn as codes; install e.g. "
        "fonts-noto-cjk (Debian, Ubuntu) or google-noto-sans-cjk-fonts (Fedora)"
    ),
    ("display", ""): _display,
    ("display", "refused"): lambda f: (
        f"{_display(f)}; {_few(f['refused'])} cannot be read: add yourself to its group (usermod -aG video $USER)"
    ),
    ("runs", ""): lambda f: _results(f, counted(f["runs"], "run")),
    ("runs", "stale"): lambda f: _results(
        f,
        f"{_few(f['stale'])}: says that it runs, and no process does; give the same command again to go on from its "
        "last checkpoint, or remove the folder",
    ),
    ("runs", "unreadable"): lambda f: f"{_few(f['unreadable'])}: cannot be read; correct its owner or permissions",
    ("exports", ""): lambda f: _results(f, f"{counted(f['exports'], 'export')}, {counted(f['engines'], 'engine')}"),
    ("exports", "stale"): lambda f: _results(f, _stale_exports(f)),
}

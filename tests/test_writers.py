"""Every writer goes through `taolite.files` or `taolite.partials`: the source is read, so that a new one is met here.

`OTHERS` names each call of the package that writes, moves or removes a file otherwise, and the reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "taolite"
THE_WAY = ("files.py", "partials.py")

WITH_A_MODE = {
    *("open", "io.open", "os.open", "os.fdopen", "gzip.open", "bz2.open", "lzma.open", "codecs.open", "tarfile.open"),
    *("FileIO", "io.FileIO", "ZipFile", "zipfile.ZipFile", "h5py.File", "av.open"),
}
ALWAYS = {
    *(f"os.{name}" for name in ("rename", "renames", "replace", "link", "symlink", "remove", "unlink", "rmdir")),
    *("os.truncate", "os.ftruncate", "os.mkfifo", "os.mknod", "os.removedirs"),
    *(f"shutil.{name}" for name in ("copy", "copy2", "copyfile", "copytree", "move", "rmtree", "unpack_archive")),
    *("shutil.make_archive", "NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory"),
    *(
        f"tempfile.{name}"
        for name in ("NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory", "mkstemp", "mkdtemp")
    ),
    *(f"np.{name}" for name in ("save", "savez", "savez_compressed", "savetxt", "memmap")),
    *("cv2.imwrite", "cv2.VideoWriter", "torch.save", "onnx.save", "onnx.save_model", "save_file", "sqlite3.connect"),
    *("torch.hub.download_url_to_file", "urlretrieve", "SummaryWriter", "logging.FileHandler"),
}
METHODS = {
    *("write_text", "write_bytes", "touch", "rename", "symlink_to", "hardlink_to", "unlink", "rmdir", "tofile"),
    *("extractall", "to_csv"),
}
SAVES = {"save", "savefig"}  # into a stream or into a path

OTHERS = {
    "a log, which grows line by line": {
        "cli/own/experiment_sweep.py _begun: open",
        "cli/own/ray_runs.py _Starter.start: open",
        "cli/tao/lifecycle.py logged: open",
        "jetson/log.py Log._say: open",
        "sinks/tensorboard.py Board.__init__: SummaryWriter",
        "workspace/status.py _append: open",
    },
    "a lock, which says who has it": {
        "workspace/lock.py take_lock: open",
        "workspace/lock.py take_lock: os.ftruncate",
    },
    "a key, whose name is taken first so that none is replaced": {
        "artifacts/keyfiles.py _write_private: os.open",
        "artifacts/keyfiles.py _write_private: path.unlink",
    },
    "into this process's own memory": {
        "artifacts/hiding.py _rewrite: open",
    },
    "to the null device": {
        "cli/main.py _run: open",
        "cli/processes.py in_processes: open",
    },
    "in a folder that appears when it is whole (`whole_folder`)": {
        "formats/folder_writing.py write_folders: target.write_bytes",
        "formats/layout.py put: path.write_text",
        "formats/writing.py _link: os.link",
        "formats/writing.py _link: shutil.copyfile",
        "formats/writing.py _write_picture: *.save",
        "formats/writing.py _write_picture: target.symlink_to",
        "formats/writing.py _write_picture: target.write_bytes",
    },
    "to a temporary name, which becomes the file's when it is whole (`whole_file`, `Partial`)": {
        "media/gif.py GifEncoder.__init__: open",
        "media/pyav.py AvEncoder.__init__: av.open",
        "media/videos.py _OpenCvEncoder.__init__: cv2.VideoWriter",
        "quant/tensorfile.py write_tensorfile: h5py.File",
    },
    "whole files that wait in a folder, moved together under a mark": {
        "stages/convert/staging.py Staging._discard: self._place.rmdir",
        "stages/convert/staging.py Staging.finish: *.replace",
        "stages/convert/staging.py Staging.scratch: TemporaryFile",
    },
    "a download, which goes on where it ended": {
        "formats/arriving.py _locked_part: open",
        "formats/arriving.py _making: os.open",
        "formats/arriving.py open_part: *.replace",
        "formats/arriving.py open_part: *.unlink",
        "formats/transfer.py _start_over: *.unlink",
        "formats/transfer.py fetch.once: *.unlink",
        "stages/inference/networks.py _downloaded: torch.hub.download_url_to_file",
    },
    "what a killed process left of another library's": {
        "report/paper.py _remove_old_lock: lock.unlink",
    },
    "the empty folders of a run that was deleted on request": {
        "stages/experiments/cleanup.py delete: folder.rmdir",
    },
    "a damaged file, set aside": {
        "stages/training/checkpoint.py newest: path.replace",
    },
    "in a folder of this process alone, which ends with it": {
        "cli/jetson/ssd.py _opened: TemporaryDirectory",
        "cli/pages.py _open_browser: path.write_text",
        "cli/pages.py serve_page: TemporaryDirectory",
        "data/kept.py _on_disk: tempfile.TemporaryFile",
        "dist/launch.py launch: TemporaryDirectory",
        "dist/pulse.py forget: path.unlink",
        "dist/secret.py offered: tempfile.TemporaryDirectory",
        "stages/inference/models.py open_engine_plan: TemporaryDirectory",
    },
    "a trial, which is gone at once": {
        "doctor/places.py _folder: tempfile.TemporaryFile",
    },
    "a function of that name here, which is one of `taolite.files`' callers": {
        "stages/training/run.py Run.save: checkpoint.save",
        "stages/training/run.py Run.take_up: self.folder.metrics.replace",
        "web/capture.py _Pages._save.work: self._desk.save",
    },
}


def name_of(node: ast.expr) -> str:
    """`a.b.c` as it is written; `*.c` of what is no name."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value) or '*'}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def writes(call: ast.Call, streams: set[str]) -> bool:
    """Whether a call writes, moves or removes a file, or may do so. streams: the names of streams and buffers."""
    name = name_of(call.func)
    last = name.rpartition(".")[2]
    if name in ALWAYS:
        return True
    if name in WITH_A_MODE or last == "open":
        of_path = name not in WITH_A_MODE  # path.open(mode), rather than open(path, mode)
        given = [word.value for word in call.keywords if word.arg in ("mode", "flags")]
        given += call.args[0 if of_path else 1 :][:1]
        text = ast.unparse(given[0]) if given else "'r'"
        if of_path and not isinstance(given[0] if given else None, ast.Constant):
            return False  # our own functions of this name
        if name == "os.open":
            return any(flag in text for flag in ("WRONLY", "RDWR", "CREAT"))
        return not text.startswith("'") or any(letter in text for letter in "wax+")
    if not isinstance(call.func, ast.Attribute):
        return False
    if last in SAVES:
        return bool(call.args) and name_of(call.args[0]) not in streams
    if last == "replace":  # a path has one argument, a text two, a record keywords
        return len(call.args) == 1 and not call.keywords
    return last in METHODS


def streams_in(node: ast.AST) -> set[str]:
    """The names that a function gives to streams of `open_atomic`, and to buffers in memory."""
    names = set()
    for child in ast.walk(node):
        pairs: list[tuple[ast.expr, ast.expr | None]] = []
        if isinstance(child, ast.withitem):
            pairs = [(child.context_expr, child.optional_vars)]
        elif isinstance(child, ast.Assign):
            pairs = [(child.value, child.targets[0])]
        for makes, target in pairs:
            made = name_of(makes.func).rpartition(".")[2] if isinstance(makes, ast.Call) else ""
            if made in ("open_atomic", "BytesIO", "StringIO") and target is not None:
                names.add(name_of(target))
    return names


def writers(tree: ast.AST, inside: str = "", streams: frozenset[str] = frozenset()) -> Iterator[str]:
    """`function: call` of each call that writes."""
    for child in ast.iter_child_nodes(tree):
        where, known = inside, streams
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            where, known = f"{inside}.{child.name}".strip("."), streams | streams_in(child)
        if isinstance(child, ast.Call) and writes(child, set(streams)):
            yield f"{inside or 'module'}: {name_of(child.func)}"
        yield from writers(child, where, known)


def test_every_writer_of_the_package_is_atomic_or_has_a_reason():
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in THE_WAY:
            found |= {f"{name} {one}" for one in writers(ast.parse(path.read_text(encoding="utf-8")))}

    known = [one for calls in OTHERS.values() for one in calls]
    assert sorted(found - set(known)) == [], "new writers: use taolite.files, or give the reason in OTHERS"
    assert sorted(set(known) - found) == [], "these are gone: take them out of OTHERS"
    assert len(known) == len(set(known))


@pytest.mark.parametrize(
    "code",
    [
        *("open(p, 'w')", "open(p, mode='a')", "open(p, how)", "p.open('r+b')", "io.open(p, 'xb')"),
        *("os.open(p, os.O_WRONLY)", "p.write_text('x')", "Path(p).write_bytes(b'')", "a.replace(b)", "p.rename(q)"),
        *("np.save(p, x)", "cv2.imwrite(p, x)", "plt.savefig(p)", "Image.fromarray(x).save(p)", "shutil.move(p, q)"),
        *("zipfile.ZipFile(p, 'w')", "tarfile.open(p, 'w:gz')", "h5py.File(p, 'a')", "torch.save(x, p)"),
    ],
)
def test_a_new_writer_is_found(code):
    assert len(list(writers(ast.parse(f"def f():\n    {code}\n")))) == 1


@pytest.mark.parametrize(
    "code",
    [
        *(
            "open(p)",
            "open(p, 'rb')",
            "p.open()",
            "p.open('r')",
            "os.open(p, os.O_RDONLY)",
            "device.open(data, options)",
        ),
        *("'a'.replace('a', 'b')", "dataclasses.replace(x, y=1)", "zipfile.ZipFile(p)", "h5py.File(p, 'r')"),
        *("with open_atomic(p) as s: image.save(s, 'PNG')", "write_text(p, 'x')", "self.save()"),
    ],
)
def test_a_reader_is_not_taken_for_a_writer(code):
    assert list(writers(ast.parse(f"def f():\n    {code}\n"))) == []

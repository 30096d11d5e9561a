"""`taolite doctor`: each check's failing side, from the thing itself to the line that the user reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import taolite.cli.own.doctor as words
from taolite.artifacts.sidecar import Sidecar, sidecar_path, write_engine
from taolite.cli.main import main
from taolite.cli.own.doctor import line
from taolite.doctor import libraries, machine, places, probes, results
from taolite.doctor.machine import Driver
from taolite.doctor.requirements import Requirement, fits, requirements
from taolite.engines import runtimes
from taolite.preprocessing import Preprocessing
from taolite.workspace.run import RunFolder, RunIdentity

ROOT = Path(__file__).parents[3]
posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and control groups of Linux")


@pytest.fixture(autouse=True)
def install(monkeypatch):
    """What a package index would install, and not this checkout."""
    monkeypatch.setattr(words, "install_command", lambda extra: f"pip install 'taolite[{extra}]'")
    monkeypatch.setattr(runtimes, "install_command", lambda extra: f"pip install 'taolite[{extra}]'")


def said(finding) -> str:
    """The line, with single blanks."""
    return " ".join(line(finding).split())


# libraries


def test_an_old_python_is_broken():
    finding = libraries.python((3, 9, 2))

    assert said(finding) == "BROKEN python 3.9.2 is too old; install Python 3.10 or newer"
    assert libraries.python((3, 10, 0)).state == "ok"


@pytest.mark.parametrize(
    ("version", "bounds", "inside"),
    [
        ("2.9.0", ">=2.9,!=2.13.0", True),
        ("2.9.0+cu128", "!=2.13.0,>=2.9", True),
        ("2.8.1", ">=2.9", False),
        ("2.13.0", ">=2.9,!=2.13.0", False),
        ("2.13", ">=2.9,!=2.13.0", False),
        ("2.13.1", ">=2.9,!=2.13.0", True),
        ("10.0", ">=9.5", True),
        ("3", "<3,>=2", False),
        ("2.9.9", "<3,>=2", True),
        ("1.7.1.116", "<1.8,>=1.7", True),
        ("0.38.0", "", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version, bounds, inside):
    assert fits(version, bounds) is inside


def test_what_taolite_asks_for_is_read_from_its_metadata(monkeypatch):
    lines = [
        "numpy<3,>=2",
        "pyyaml (>=6)",
        "torch!=2.13.0,>=2.9; extra == 'train'",
        "tensorrt-rtx-cu13<1.8,>=1.7; (platform_system == 'Linux') and extra == 'tensorrt'",
        "other>=1; platform_system == 'Plan9' and extra == 'tensorrt'",
        "taolite[train,video]; extra == 'dev'",
    ]
    monkeypatch.setitem(requirements.__globals__["_HERE"], "platform_system", lambda: "Linux")

    assert requirements(lines) == [
        Requirement("numpy", "<3,>=2"),
        Requirement("pyyaml", ">=6"),
        Requirement("torch", "!=2.13.0,>=2.9", "train"),
        Requirement("tensorrt-rtx-cu13", "<1.8,>=1.7", "tensorrt"),
    ]


WANTED = [
    Requirement("numpy", "<3,>=2"),
    Requirement("onnx", "<2,>=1.22"),
    Requirement("torch", "!=2.13.0,>=2.9", "train"),
    Requirement("h5py", ">=3.11", "train"),
    Requirement("openvino", ">=2025.0", "openvino"),
    Requirement("av", ">=15", "video"),
    Requirement("starlette", ">=0.46", "web"),
    Requirement("uvicorn", ">=0.34", "web"),
]


def test_packages_of_the_base_that_are_old_or_missing_are_broken():
    finding = libraries.base(WANTED, {"numpy": "1.26.4"}.get)

    assert said(finding) == (
        "BROKEN packages numpy 1.26.4 (needed: <3,>=2), onnx is missing (needed: <2,>=1.22); run pip install --upgrade "
        "taolite"
    )
    assert said(libraries.base([], {}.get)) == (
        "warning packages taolite is not installed, so versions are not checked; run pip install -e ."
    )


def test_torch_is_optional_and_broken_outside_its_bounds(monkeypatch):
    monkeypatch.setattr(libraries, "_built_for", lambda: "12.8")

    assert said(libraries.torch(WANTED, {}.get)) == "- torch not installed: pip install 'taolite[train]'"
    finding = libraries.torch(WANTED, {"torch": "2.13.0", "h5py": "3.11.0"}.get)
    assert said(finding) == (
        "BROKEN torch 2.13.0, built for CUDA 12.8; torch 2.13.0 (needed: !=2.13.0,>=2.9); run pip install "
        "'taolite[train]'"
    )


@pytest.mark.parametrize(
    ("source", "cuda"),
    [
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "13.0"),
        ("cuda = '12.8'\n", "12.8"),
        ("cuda: Optional[str] = None\n", ""),
        ("", ""),
    ],
)
def test_the_cuda_of_torch_is_read_without_importing_it(monkeypatch, tmp_path, source, cuda):
    (tmp_path / "nottorch").mkdir()
    (tmp_path / "nottorch" / "__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "nottorch" / "version.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    assert libraries._built_for("nottorch") == cuda


def test_an_onnxruntime_that_does_not_load_is_broken_and_two_of_them_are_a_warning(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert said(libraries.onnxruntime({"onnxruntime": "1.20.0"}.get)) == (
        "BROKEN onnxruntime cannot be loaded (import of onnxruntime halted; None in sys.modules); run pip install "
        "--force-reinstall onnxruntime"
    )

    library = SimpleNamespace(__version__="1.32.0", get_available_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setitem(sys.modules, "onnxruntime", library)
    assert said(libraries.onnxruntime({"onnxruntime": "1.32.0"}.get)) == "ok onnxruntime 1.32.0: CPUExecutionProvider"
    assert said(libraries.onnxruntime({"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.30.0"}.get)) == (
        "warning onnxruntime onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; "
        "uninstall all of them, then install one"
    )


def test_runtimes_that_are_not_installed_say_how_to_get_them():
    lines = [said(one) for one in libraries.runtimes(WANTED, {}.get, runtimes.RUNTIMES)]

    assert lines == [
        "- openvino not installed: pip install 'taolite[openvino]'",
        "- tensorrt not installed: it comes with JetPack and NVIDIA's TensorRT containers; on a PC use the backend "
        "tensorrt_rtx",
        "- tensorrt-rtx not installed: pip install 'taolite[tensorrt]' (Linux, x86-64)",
    ]
    (old, *_) = libraries.runtimes(WANTED, {"openvino": "2024.6.0"}.get, runtimes.RUNTIMES)
    assert said(old) == "BROKEN openvino openvino 2024.6.0 (needed: >=2025.0); run pip install 'taolite[openvino]'"


def test_extras_that_are_partly_here_are_a_warning():
    finding = libraries.extras(WANTED, {"starlette": "0.46.0"}.get)

    assert said(finding) == (
        "warning extras installed: none; not installed: video (pip install 'taolite[NAME]'); uvicorn is missing "
        "(needed: >=0.34); run pip install 'taolite[web]'"
    )
    whole = libraries.extras(WANTED, {"starlette": "0.46.0", "uvicorn": "0.34.0", "av": "15.0.0"}.get)
    assert said(whole) == "ok extras installed: video, web"


def test_telemetry_that_the_user_switched_on_is_named(monkeypatch):
    assert said(libraries.telemetry()) == "ok telemetry off in ONNX Runtime, OpenVINO, MLflow and W&B"

    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", SimpleNamespace())
    assert said(libraries.telemetry()) == (
        "warning telemetry not off: ORT_DISABLE_TELEMETRY=0, openvino_telemetry; unset it, and taolite switches it off"
    )


# the machine


def test_a_driver_that_is_older_than_torch_is_broken():
    card = Driver((12, 4), ("NVIDIA L4",))

    assert said(machine.gpu(card, "13.0")) == (
        "BROKEN gpu NVIDIA L4; driver for CUDA 12.4, and PyTorch is built for CUDA 13.0; update the driver, or install "
        "a PyTorch for CUDA 12"
    )
    assert said(machine.gpu(card, "12.8")) == "ok gpu NVIDIA L4; driver for CUDA 12.4"
    assert said(machine.gpu(Driver((13, 0), ()), "13.0")) == (
        "warning gpu driver for CUDA 13.0, but no GPU to use; look at nvidia-smi, CUDA_VISIBLE_DEVICES, and --gpus of "
        "docker run"
    )
    assert said(machine.gpu(None, "13.0")) == "- gpu no NVIDIA driver: everything is computed on the processor"


@pytest.fixture
def system(tmp_path):
    """A made /proc and control groups: 16 GiB, 8 of them free, this process in the group `box/inner`."""
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (groups / "box" / "inner").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n")
    (proc / "self" / "cgroup").write_text("0::/box/inner\n")
    return SimpleNamespace(proc=proc, groups=groups, at={"proc": proc, "groups": groups})


def test_the_limit_of_a_control_group_counts_wherever_it_stands(system):
    (system.groups / "box" / "inner" / "memory.max").write_text("max\n")
    assert said(machine.memory(**system.at)) == "ok memory 16.0 GiB, 8.0 GiB free"

    (system.groups / "box" / "memory.max").write_text(f"{1 << 30}\n")
    assert said(machine.memory(**system.at)) == (
        "warning memory 16.0 GiB, 8.0 GiB free, limited to 1.0 GiB by the control group; a training wants 2.0 GiB or "
        "more: end other programs, raise the limit, or lower the batch size"
    )


def test_an_older_control_group_has_its_limit_elsewhere_and_a_huge_one_for_none(system):
    (system.proc / "self" / "cgroup").write_text("4:memory:/box\n")
    (system.groups / "memory").mkdir()
    limit = system.groups / "memory" / "memory.limit_in_bytes"

    limit.write_text("9223372036854771712\n")
    assert machine.memory(**system.at).facts["limit_mib"] is None
    limit.write_text(f"{3 << 30}\n")
    assert machine.memory(**system.at).facts["limit_mib"] == 3072


def test_more_threads_than_the_processor_time_of_the_group_are_named(system, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    (system.groups / "box" / "cpu.max").write_text("200000 100000\n")

    assert said(machine.cores({}, usable=8, **system.at)) == "ok cores 8 of 16 cores usable, processor time of 2"
    assert said(machine.cores({"OMP_NUM_THREADS": "4"}, usable=8, **system.at)) == (
        "warning cores 8 of 16 cores usable, processor time of 2, OMP_NUM_THREADS=4: more threads than cores are "
        "slower; set it to 2 or less"
    )
    assert machine.cores({"OMP_NUM_THREADS": "2"}, usable=8, **system.at).state == "ok"


@linux
def test_this_machine_has_memory_and_cores():
    facts = machine.memory().facts

    assert facts["total_mib"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    assert 0 < facts["free_mib"] <= facts["total_mib"]
    assert machine.cores({}).facts["usable"] == len(os.sched_getaffinity(0))


def test_letters_without_a_font_are_named():
    assert said(machine.fonts("a\U0010fffe")) == (
        "warning fonts no font of this system has \U0010fffe: such letters are drawn as codes; install e.g. "
        "fonts-noto-cjk (Debian, Ubuntu) or google-noto-sans-cjk-fonts (Fedora)"
    )
    assert machine.fonts("a").state == "ok"


def test_a_camera_that_is_closed_to_this_user_is_named(tmp_path):
    finding = machine.screens({}, devices=[tmp_path / "video0"])  # closed, or gone since it was listed

    assert said(finding) == (
        f"warning display no display (windows are not shown; files and streams work), 1 camera; {tmp_path}/video0 "
        "cannot be read: add yourself to its group (usermod -aG video $USER)"
    )
    assert said(machine.screens({"DISPLAY": ":0"}, devices=[])) == "ok display a display, 0 cameras"


# places


@posix
def test_a_key_file_that_others_can_read_is_named_and_its_key_is_not(tmp_path):
    file = tmp_path / "my.key"
    file.write_text("open sesame\n")
    file.chmod(0o644)

    finding = places.key_file(file)

    assert said(finding) == (f"warning key file {file}: other users can read it (mode 0644); run chmod 600 {file}")
    assert "sesame" not in json.dumps(dict(finding.facts))
    file.chmod(0o600)
    assert said(places.key_file(file)) == f"ok key file {file}: mode 0600"


def test_key_files_that_are_missing_empty_or_published_are_named(tmp_path):
    file = tmp_path / "my.key"
    assert said(places.key_file(file)) == (
        f"BROKEN key file {file}: cannot be read (No such file or directory); correct the path or its owner"
    )
    file.write_text("\n")
    file.chmod(0o600)
    assert said(places.key_file(file)) == f"BROKEN key file {file}: empty; write the key in it, on one line"
    file.write_text("nvidia_tlt\n")
    assert said(places.key_file(file)) == (
        f"warning key file {file}: a key from NVIDIA's documents, known to everybody; choose another"
    )


def test_the_key_of_the_environment_is_told_of_and_not_told():
    assert said(places.key({})) == "ok key TAOLITE_KEY is not set; give -k @FILE where a key is needed"
    secret = places.key({"TAOLITE_KEY": "open sesame"})
    assert said(secret) == "ok key TAOLITE_KEY is set"
    assert "sesame" not in json.dumps(dict(secret.facts))
    assert said(places.key({"TAOLITE_KEY": "tlt_encode"})) == (
        "warning key TAOLITE_KEY is a key from NVIDIA's documents, known to everybody; choose another"
    )


@linux
def test_a_folder_in_which_no_file_can_be_made_is_broken(tmp_path):
    finding = places.workspace(Path("/proc"))
    assert said(finding) == (
        f"BROKEN workspace /proc: no file can be made here ({finding.facts['reason']}); correct its owner or "
        "permissions, or choose another"
    )
    (tmp_path / "taolite").write_text("")
    assert said(places.cache({"XDG_CACHE_HOME": str(tmp_path)})) == (
        f"BROKEN cache {tmp_path}/taolite: no file can be made here (Not a directory); set XDG_CACHE_HOME to a folder "
        "of your own"
    )


@posix
def test_a_folder_that_everybody_may_change_is_a_warning_and_nothing_is_left_in_it(tmp_path):
    tmp_path.chmod(0o777)
    assert said(places.workspace(tmp_path)) == (
        f"warning workspace {tmp_path}: mode 0777: every user can change it; run chmod o-w {tmp_path}"
    )
    assert said(places.cache({"XDG_CACHE_HOME": str(tmp_path)})) == (
        f"warning cache {tmp_path}/taolite: mode 0777: every user can change engines there; run chmod o-w "
        f"{tmp_path}/taolite"
    )
    tmp_path.chmod(0o755)
    assert places.workspace(tmp_path).state == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("free_mib", "text"),
    [
        (100, "BROKEN disk 0.1 GiB free of 100.0 GiB; free some space"),
        (
            3072,
            "warning disk 3.0 GiB free; checkpoints and engines may want 5.0 GiB: free some space, or lower "
            "--keep_checkpoints",
        ),
        (6144, "ok disk 6.0 GiB free of 100.0 GiB"),
    ],
)
def test_a_disk_with_little_space_is_named(monkeypatch, free_mib, text):
    space = SimpleNamespace(free=free_mib << 20, total=100 << 30)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: space)

    assert said(places.disk(Path("x"))) == text


def test_a_disk_of_a_missing_folder_is_broken(tmp_path):
    assert said(places.disk(tmp_path / "none")) == (
        f"BROKEN disk {tmp_path}/none: No such file or directory; name a folder that is there"
    )


def test_mounts_that_lead_nowhere_are_named(tmp_path):
    file = tmp_path / ".tao_mounts.json"
    (tmp_path / "here").mkdir()
    rows = [{"source": name, "destination": f"/workspace/{name}"} for name in ("here", "gone")]
    file.write_text(json.dumps({"Mounts": rows}))
    environ = {"HOME": str(tmp_path / "home")}

    assert said(places.mounts((), start=tmp_path, environ=environ)) == (
        f"warning mounts {tmp_path}/gone: {file} mounts this folder at /workspace/gone, and it does not exist; make "
        "it, or change the mount"
    )
    file.write_text("{")
    finding = places.mounts((), start=tmp_path, environ=environ)
    assert said(finding).startswith(f"BROKEN mounts {file}:1:2: not JSON")
    file.unlink()
    assert said(places.mounts((), start=tmp_path, environ=environ)) == "ok mounts no mounts file and no --mount"


# results


RUN = """
import os, signal, sys
from pathlib import Path
from taolite.workspace.run import RunFolder, RunIdentity

run = RunFolder.open(Path(sys.argv[1]), RunIdentity("detectnet", "spec"))
run.status.write("Starting DetectNet_v2 Training job", status="STARTED")
run.status.write("an epoch", status="RUNNING")
print("runs", flush=True)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


def look(folder: Path):
    run_folders, _, whole = results.found_below(folder)
    return results.runs(run_folders, whole=whole)


@posix
def test_a_run_is_stale_once_its_process_is_killed(tmp_path):
    folder = tmp_path / "deep" / "run"
    command = [sys.executable, "-c", RUN, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"runs\n"
    assert said(look(tmp_path)) == "ok runs 1 run"

    process.communicate(b"")

    assert said(look(tmp_path)) == (
        f"warning runs {folder}: says that it runs, and no process does; give the same command again to go on from its "
        "last checkpoint, or remove the folder"
    )
    with RunFolder.open(folder, RunIdentity("detectnet", "spec")) as run:
        run.status.write("done", status="SUCCESS")
    assert said(look(tmp_path)) == "ok runs 1 run"


def test_a_line_of_the_status_that_a_crash_cut_off_is_passed_over(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    status = tmp_path / "status.json"
    for whole, state in (('{"status": "FAILURE"}\n', "ok"), ('{"status": "RUNNING"}\n', "warning"), ("", "ok")):
        status.write_text(whole + '{"status": "STAR')
        assert look(tmp_path).state == state


def test_a_folder_that_is_too_large_is_said_to_be_looked_through_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "_MOST_FOLDERS", 2)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()

    assert said(look(tmp_path)) == "ok runs 0 runs; not all folders were looked through: name a smaller FOLDER"


def engine_in(folder: Path, *, version: str = "1.0") -> Path:
    engine = folder / "model.engine"
    sidecar = Sidecar(
        onnx_sha256="0" * 64,
        backend="openvino",
        backend_version=version,
        precision="fp32",
        batch=(1, 1, 1),
        classes=("a",),
        preprocessing=Preprocessing(input_hw=(8, 8)),
    )
    write_engine(engine, b"engine", sidecar)
    return engine


def test_an_export_that_is_older_than_its_model_is_named(tmp_path):
    export, model = tmp_path / "model.etlt", tmp_path / "model.tlt"
    for path, time in ((export, 1000), (model, 1005)):
        path.write_bytes(b"x")
        os.utime(path, (time, time))

    def found():
        return results.exports(results.found_below(tmp_path)[1], {}.get, deep=False)

    assert said(found()) == "ok exports 1 export, 0 engines"  # copied together
    os.utime(model, (2000, 2000))
    assert said(found()) == (
        f"warning exports {export} is older than {model} beside it; if it was made from that model, export it again"
    )


def test_an_engine_that_does_not_match_is_named(tmp_path):
    engine = engine_in(tmp_path)

    def found(version, *, deep=False):
        return said(results.exports(results.found_below(tmp_path)[1], {"openvino": version}.get, deep=deep))

    assert found("1.0", deep=True) == "ok exports 0 exports, 1 engine"
    assert found(None) == "ok exports 0 exports, 1 engine"
    assert found("2.0") == (
        f"warning exports {engine}: built by openvino 1.0, and 2.0 is installed; engines run only with the version "
        "that built them, so build it again"
    )
    engine.write_bytes(b"engina")
    assert found("1.0") == "ok exports 0 exports, 1 engine"
    assert found("1.0", deep=True).startswith(
        f"warning exports {engine}: not the file that {sidecar_path(engine).name} describes (hash "
    )
    sidecar_path(engine).write_text("{}")
    assert found("1.0").startswith(f"warning exports {sidecar_path(engine)}")


# probes


def test_the_runtimes_that_are_here_run_a_small_model():
    found = list(probes.runtimes([row for row in runtimes.RUNTIMES if row.runs_onnx]))

    assert [said(one) for one in found][:1] == ["ok onnxruntime probe ran a small model"]
    assert {one.state for one in found} == {"ok"}


def test_a_runtime_that_cannot_open_a_model_is_broken(monkeypatch):
    monkeypatch.setattr(probes, "tiny_onnx", lambda: b"no model")
    (finding, *_) = probes.runtimes([runtimes.find("onnxruntime")])

    assert finding.state == "broken"
    assert said(finding) == (
        f"BROKEN onnxruntime probe ONNX Runtime failed: {finding.facts['reason']}; install it again"
    )


def test_a_torch_that_does_not_load_is_broken(monkeypatch):
    monkeypatch.setattr(probes, "_TORCH", "import os, sys\nsys.exit('libcudart.so.13: cannot open')")

    assert said(probes.torch()) == "BROKEN torch probe PyTorch failed: libcudart.so.13: cannot open; install it again"


# the command


def test_the_command_has_a_line_a_check_and_ends_with_1_where_one_is_broken(tmp_path, capsys):
    assert main(["doctor", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [row[9:27].strip() for row in lines[:-1]] == [
        *("python", "packages", "torch", "gpu", "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx", "extras"),
        *("telemetry", "memory", "cores", "disk", "workspace", "cache", "key", "mounts", "fonts", "display"),
        *("runs", "exports"),
    ]
    assert lines[-1].startswith("all that is needed works")

    assert main(["doctor", str(tmp_path), "--json", "--key-file", str(tmp_path / "none")]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["works"] is False
    assert [(row["check"], row["problem"]) for row in report["findings"] if row["state"] == "broken"] == [
        ("key file", "unreadable")
    ]


def test_the_command_imports_neither_torch_nor_an_engine_builder(tmp_path):
    code = (
        "import sys\nfrom taolite.cli.main import main\nmain(['doctor', sys.argv[1]])\n"
        "print(sorted({'torch', 'openvino', 'tensorrt_rtx', 'cv2', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)

    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_key_of_the_environment_is_seen_by_the_command_itself(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "taolite", "doctor", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "TAOLITE_KEY": "open sesame"},
        check=False,
    )

    assert "ok       key                TAOLITE_KEY is set\n" in done.stdout
    assert "open sesame" not in done.stdout

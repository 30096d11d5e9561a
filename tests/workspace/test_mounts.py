"""Container paths resolve on this machine, the way TAO's launcher would have mounted them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taolite.errors import PathError, UsageError
from taolite.workspace import Mounts

ROOT = "/workspace/tao-experiments"


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def write_mounts(folder: Path, pairs: dict[str, str], **more: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"source": source, "destination": destination} for destination, source in pairs.items()]
    (folder / ".tao_mounts.json").write_text(json.dumps({"Mounts": rows, **more}))
    return folder / ".tao_mounts.json"


def load(home: Path, *flags: str, start: Path | None = None, **environ: str) -> Mounts:
    return Mounts.load(flags, start=start or home, environ={"HOME": str(home), **environ})


def test_the_launchers_own_file_maps_container_paths(home):
    (home / "tao" / "data").mkdir(parents=True)
    write_mounts(home, {ROOT: "~/tao"}, Envs=[], DockerOptions={"user": "1000:1000"})

    mounts = load(home)

    assert mounts.resolve(f"{ROOT}/data/x.jpg") == home / "tao" / "data" / "x.jpg"
    assert mounts.resolve(ROOT) == home / "tao"
    assert mounts.resolve(Path(ROOT) / "new" / "weights") == home / "tao" / "new" / "weights"


def test_the_longest_destination_wins_and_only_whole_names_count(home):
    for name in ("all", "specs"):
        (home / name).mkdir()
    write_mounts(home, {ROOT: "~/all", f"{ROOT}/specs": "~/specs"})

    mounts = load(home)

    assert mounts.resolve(f"{ROOT}/specs/train.txt") == home / "specs" / "train.txt"
    assert mounts.resolve(f"{ROOT}/specs2/train.txt") == home / "all" / "specs2" / "train.txt"
    assert mounts.resolve(f"{ROOT}2/train.txt") == Path(f"{ROOT}2/train.txt")
    assert mounts.resolve(f"{ROOT}//data/../specs/train.txt") == home / "specs" / "train.txt"


def test_flags_win_over_the_workspace_and_that_over_home(home, tmp_path):
    for name in ("from_home", "from_workspace", "from_flag"):
        (tmp_path / name).mkdir()
    write_mounts(home, {"/w/a": str(tmp_path / "from_home"), "/w/b": str(tmp_path / "from_home")})
    deep = tmp_path / "project" / "specs" / "deep"
    deep.mkdir(parents=True)
    write_mounts(tmp_path / "project", {"/w/a": "../from_workspace"})

    files = load(home, start=deep)
    flags = load(home, f"{tmp_path}/from_flag:/w/a", start=deep)

    assert files.resolve("/w/a/x") == tmp_path / "from_workspace" / "x"
    assert files.resolve("/w/b/x") == tmp_path / "from_home" / "x"
    assert flags.resolve("/w/a/x") == tmp_path / "from_flag" / "x"


def test_launcher_mounts_names_another_file(home, tmp_path):
    (tmp_path / "data").mkdir()
    other = write_mounts(tmp_path / "etc", {ROOT: str(tmp_path / "data")})
    write_mounts(home, {ROOT: "~"})

    mounts = load(home, start=tmp_path / "data", LAUNCHER_MOUNTS=str(other))

    assert mounts.resolve(ROOT) == tmp_path / "data"


def test_inside_the_container_paths_are_used_as_they_are(home, tmp_path):
    inside, outside = tmp_path / "workspace", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "data.txt").touch()
    write_mounts(home, {str(inside): str(outside)})

    mounts = load(home)

    assert mounts.resolve(str(inside / "data.txt")) == inside / "data.txt"
    assert mounts.resolve(str(inside / "results" / "new")) == inside / "results" / "new"
    assert load(home, f"{outside}:{inside}").resolve(str(inside / "data.txt")) == outside / "data.txt"


def test_a_folder_of_the_containers_name_on_this_machine_does_not_silence_the_map(home, tmp_path):
    destination, source = tmp_path / "workspace" / "tao-experiments", home / "tao"
    for folder in (destination / "data" / "tfrecords", source / "specs"):  # the first is `mkdir -p` of a script
        folder.mkdir(parents=True)
    (source / "specs" / "train.txt").touch()
    write_mounts(home, {str(destination): "~/tao"})

    mounts = load(home)

    for name in ("specs/train.txt", "specs/none.txt", "data/tfrecords", "data/tfrecords/kitti-fold-000", "data/*/none"):
        assert mounts.resolve(destination / name) == source / name
    assert mounts.resolve(destination) == source


def test_files_that_only_the_containers_name_leads_to_are_found_there(home, tmp_path):
    destination, source = tmp_path / "workspace", home / "tao"
    for folder in (destination / "data", source / "data"):
        folder.mkdir(parents=True)
    (destination / "data" / "fold-0").touch()
    (source / "data" / "plain").touch()
    write_mounts(home, {str(destination): "~/tao"})

    mounts = load(home)

    assert mounts.resolve(destination / "data" / "fold-0") == destination / "data" / "fold-0"
    assert mounts.glob(destination / "data" / "fold*") == [destination / "data" / "fold-0"]
    assert mounts.glob(destination / "data" / "*") == [source / "data" / "plain"]
    assert mounts.resolve(destination / "data" / "fold-1") == source / "data" / "fold-1"


def test_a_container_needs_no_source_of_a_map_that_came_along_with_its_folder(home, tmp_path):
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "data.txt").touch()
    write_mounts(home, {str(tmp_path / "workspace"): "~/gone"})

    assert load(home).resolve(tmp_path / "workspace" / "new") == tmp_path / "workspace" / "new"


def test_a_source_that_was_mounted_already_is_reached_by_the_containers_path(home, tmp_path):
    (home / "tao").mkdir()
    (tmp_path / "workspace").symlink_to(home / "tao")
    write_mounts(home, {str(tmp_path / "workspace"): "~/tao"})

    assert load(home).resolve(tmp_path / "workspace" / "new") == tmp_path / "workspace" / "new"


def test_a_source_that_is_missing_is_named_though_a_script_has_made_the_containers_folder(home, tmp_path):
    (tmp_path / "workspace" / "data").mkdir(parents=True)
    path = write_mounts(home, {str(tmp_path / "workspace"): "~/gone"})

    with pytest.raises(PathError) as caught:
        load(home).resolve(tmp_path / "workspace" / "data")

    assert str(caught.value) == (
        f"{home}/gone: {path} mounts this folder at {tmp_path}/workspace, and it does not exist; "
        "make it, or change the mount"
    )


@pytest.mark.parametrize("name", ["a" * 300, "a\0b"])
def test_a_name_that_no_file_can_have_resolves_to_itself(home, name):
    (home / "tao").mkdir()
    write_mounts(home, {ROOT: "~/tao"})

    assert load(home).resolve(f"{ROOT}/{name}") == home / "tao" / name
    assert load(home).explain(f"/{name}") == ""


def test_variables_and_home_are_filled_in(home):
    (home / "tao").mkdir()
    write_mounts(home, {ROOT: "$TAO_DIR"}, Envs=[{"variable": "EXPERIMENT", "value": "cats"}])

    mounts = load(home, TAO_DIR=str(home / "tao"), NAME="v1")

    assert mounts.resolve(f"{ROOT}/$EXPERIMENT/${{NAME}}.tlt") == home / "tao" / "cats" / "v1.tlt"
    assert mounts.resolve("~/tao/x") == home / "tao" / "x"
    assert mounts.resolve("$UNKNOWN/x") == Path("$UNKNOWN/x")


def test_patterns_find_files_of_this_machine_in_order(home):
    folder = home / "tao" / "tfrecords"
    folder.mkdir(parents=True)
    for name in ("fold-01", "fold-00", ".hidden"):
        (folder / name).touch()
    (folder / "a[1]").touch()
    write_mounts(home, {ROOT: "~/tao"})

    mounts = load(home)

    assert mounts.glob(f"{ROOT}/tfrecords/fold*") == [folder / "fold-00", folder / "fold-01"]
    assert mounts.glob(f"{ROOT}/tfrecords/*") == [folder / "a[1]", folder / "fold-00", folder / "fold-01"]
    assert mounts.glob(f"{ROOT}/tfrecords/a[1]") == [folder / "a[1]"]
    assert mounts.glob(f"{ROOT}/none/*") == []


def test_an_uncovered_container_path_is_explained():
    mounts = Mounts()

    assert mounts.resolve(f"{ROOT}/data/x") == Path(f"{ROOT}/data/x")
    assert mounts.explain(f"{ROOT}/data/x") == (
        f"{ROOT}/data/x is a container path and no mount covers it; "
        f"add --mount HERE:{ROOT} or write it in .tao_mounts.json"
    )


def test_a_covered_path_is_explained_by_where_it_leads(home):
    (home / "tao").mkdir()
    path = write_mounts(home, {ROOT: "~/tao"})

    assert load(home).explain(f"{ROOT}/x") == f"{ROOT}/x is {home}/tao/x on this machine, by {path}"


def test_paths_the_map_has_nothing_to_do_with_get_no_explanation(tmp_path):
    mounts = Mounts()

    assert mounts.explain("relative/path") == ""
    assert mounts.explain(str(tmp_path)) == ""
    assert mounts.explain(str(tmp_path / "missing")) == ""
    for path in ("/dev/video9", "/home/nobody/tfr/*", "/nowhere/specs/a.txt", "/workspaces/tao-experiments/x"):
        assert mounts.explain(path) == ""


def test_a_path_right_below_the_containers_workspace_is_explained_by_that():
    assert Mounts().explain("/workspace/train.txt") == (
        "/workspace/train.txt is a container path and no mount covers it; "
        "add --mount HERE:/workspace or write it in .tao_mounts.json"
    )


def test_a_path_of_this_machine_is_named_as_a_spec_would_write_it(home):
    (home / "tao" / "specs").mkdir(parents=True)
    mounts = load(home, f"{home}/tao:{ROOT}", f"{home}/tao/specs:/specs")

    assert mounts.in_container(home / "tao" / "a" / "b.tlt") == f"{ROOT}/a/b.tlt"
    assert mounts.in_container(home / "tao" / "specs" / "t.txt") == "/specs/t.txt"
    assert mounts.in_container(home / "else") == str(home / "else")


def test_a_mounts_source_that_does_not_exist_matters_once_it_is_used(home):
    path = write_mounts(home, {ROOT: "~/gone", "/data": "~"})

    mounts = load(home)

    assert mounts.resolve("/data/x") == home / "x"
    with pytest.raises(PathError) as caught:
        mounts.resolve(f"{ROOT}/x")
    assert str(caught.value) == (
        f"{home}/gone: {path} mounts this folder at {ROOT}, and it does not exist; make it, or change the mount"
    )


@pytest.mark.parametrize("flag", ["x", "x:", ":/y", "x:relative", ""])
def test_a_flag_that_is_no_mount_says_what_one_is(home, flag):
    with pytest.raises(UsageError) as caught:
        load(home, flag)

    assert str(caught.value) == (
        f"--mount {flag}: SOURCE:DESTINATION is needed, with an absolute DESTINATION, "
        "e.g. --mount .:/workspace/tao-experiments"
    )


def test_a_flags_folder_must_exist(home):
    with pytest.raises(PathError) as caught:
        load(home, f"{home}/gone:/w")

    assert str(caught.value) == (
        f"--mount {home}/gone:/w: the folder {home}/gone does not exist; make it, or correct the flag"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"Mounts": [\n  {"source" "x"}\n]}', ":2:13: not JSON (Expecting ':' delimiter); correct this line"),
        (
            "[]",
            ': a list "Mounts" is needed, e.g. '
            '{"Mounts": [{"source": "~/tao", "destination": "/workspace/tao-experiments"}]}',
        ),
        (
            '{"Mounts": [{"source": "x"}]}',
            ": entry 1 needs \"source\" and \"destination\", both text; found {'source': 'x'}",
        ),
        (
            '{"Mounts": [{"source": "x", "destination": "y"}]}',
            ": entry 1: the destination 'y' is not an absolute path",
        ),
        ('{"Mounts": [], "Envs": null}', ': "Envs" needs to be a list; found None'),
        ('{"Mounts": [], "Envs": {"a": 1}}', ": \"Envs\" needs to be a list; found {'a': 1}"),
        ('{"Mounts": [], "Envs": [3]}', ': entry 1 needs "variable" and "value", both text; found 3'),
        (
            '{"Mounts": [{"source": "a\\u0000", "destination": "/y"}]}',
            ": not a mounts file (embedded null byte); correct it, or move it away",
        ),
        ("[" * 100_000, ": not a mounts file (it is nested too deeply); correct it, or move it away"),
        (
            b"{\xff}",
            ": not a mounts file ('utf-8' codec can't decode byte 0xff in position 1: invalid start byte); "
            "correct it, or move it away",
        ),
        (
            "9" * 5000,
            ": not a mounts file (Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits;"
            " use sys.set_int_max_str_digits() to increase the limit); correct it, or move it away",
        ),
    ],
)
def test_a_file_that_is_no_mounts_file_is_named_with_the_place(home, text, message):
    (home / ".tao_mounts.json").write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(UsageError) as caught:
        load(home)

    assert str(caught.value) == f"{home}/.tao_mounts.json{message}"


def test_a_mounts_file_with_a_byte_order_mark_is_read(home):
    write_mounts(home, {ROOT: "."})
    (home / ".tao_mounts.json").write_bytes(b"\xef\xbb\xbf" + (home / ".tao_mounts.json").read_bytes())

    assert load(home).resolve(f"{ROOT}/x") == home / "x"


def test_a_missing_launcher_mounts_is_named(home):
    with pytest.raises(PathError) as caught:
        load(home, LAUNCHER_MOUNTS="~/none.json")

    assert str(caught.value) == (
        f"{home}/none.json: LAUNCHER_MOUNTS names this file, and it does not exist; correct or unset it"
    )

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofa_lab.errors import InputError, LabError, WorkError
from twofa_lab.tables import ATTACKS, LOGINS, PEOPLE
from twofa_lab.traffic import storage
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.storage import RunWriter, open_run
from twofa_lab.traffic.world import to_frame

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = "manifest.json"


@pytest.fixture(scope="module")
def saved(tmp_path_factory, consumer):
    folder = tmp_path_factory.mktemp("runs") / "run"
    simulate(consumer, users=60, days=5, seed=1, out=folder)
    return folder


@pytest.fixture
def run(saved, tmp_path):
    """A run of one's own to damage."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        list(open_run(folder).shards())
    text = str(error.value)
    assert str(folder) in text
    assert "\n" not in text
    return text


def edit(folder: Path, change) -> None:
    path = folder / MANIFEST
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


# --- reading back


def test_a_run_opens_as_it_was_made(saved, same, consumer):
    same(simulate(consumer, users=60, days=5, seed=1), open_run(saved))


def test_reading_some_columns_gives_the_same_values(saved):
    source = open_run(saved).source
    whole, some = source.load(0, None), source.load(0, ["time", "country"])
    assert set(some.logins) == {"user_id", "time", "country"}
    for name, values in some.logins.items():
        np.testing.assert_array_equal(values, whole.logins[name], err_msg=name)


def test_vocabularies_larger_than_a_page_keep_their_codes(tmp_path):
    words = tuple(f"Mozilla/5.0 number {k:040d}" for k in range(40_000))  # 2.4 MB of text
    rng = np.random.default_rng(1)
    codes = rng.integers(-1, len(words), 100_000).astype(np.int32)
    columns = {"user_id": np.zeros(len(codes), np.int64), "user_agent": codes}
    arrow = storage.to_arrow(LOGINS, columns, {"user_agent": words})
    pq.write_table(arrow, tmp_path / "logins.parquet", row_group_size=30_000)
    found = storage._read(
        tmp_path / "logins.parquet", LOGINS, ["user_agent"], {"user_agent": words}
    )
    np.testing.assert_array_equal(found["user_agent"], codes)


def test_frames_have_names_times_and_categories(saved):
    world = open_run(saved)
    logins, people = world.logins(), world.people()
    assert list(logins.columns) == list(LOGINS.names)
    assert list(people.columns) == list(PEOPLE.names)
    assert len(people) == 60
    assert isinstance(logins["time"].dtype, pd.DatetimeTZDtype)
    assert str(logins["time"].dt.tz) == "UTC"
    assert logins["attack"].cat.categories.tolist() == list(ATTACKS)
    assert logins["country"].dropna().str.fullmatch("[A-Z]{2}").all()
    assert people["time_zone"].str.contains("/").all()
    assert logins["password_ok"].dtype == bool
    assert logins["ip"].dtype == "uint64"
    assert len(world.logins(limit=7)) == 7
    assert len(world.logins(limit=None)) == len(logins)


def test_a_missing_text_is_missing_in_the_frame(saved):
    world = open_run(saved)
    shard = world.source.load(0, None)
    shard.logins["region"][0] = -1
    frame = to_frame(LOGINS, {"region": shard.logins["region"]}, world.facts.vocabularies)
    assert frame["region"].isna().tolist()[:2] == [True, False]


def test_a_login_is_found_by_its_id(saved):
    world = open_run(saved)
    shard, row = world.find_login(5)
    assert shard.logins["login_id"][row] == 5
    with pytest.raises(InputError, match="no login 999999999"):
        world.find_login(999_999_999)


def test_other_tools_read_the_files(saved):
    frame = pd.read_parquet(saved / "logins-00000.parquet")
    assert str(frame["time"].dtype) == "datetime64[ms, UTC]"
    assert frame["country"].astype(str).str.fullmatch("[A-Z]{2}").all()


# --- a run that is not whole


def test_no_such_directory_and_no_manifest(tmp_path, run):
    assert "no such run" in refused(tmp_path / "nothing")
    (run / MANIFEST).unlink()
    assert "not a run, or one cut short" in refused(run)


@pytest.mark.parametrize("name", ["logins-00000.parquet", "people-00000.parquet"])
def test_a_missing_or_truncated_file(run, name):
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[:-1])
    assert f"{name} is not {len(whole):,} bytes" in refused(run)
    (run / name).unlink()
    assert f"{name} is missing" in refused(run)


def test_another_version_says_both(run):
    edit(run, lambda m: m.update(format="twofa-lab run 99"))
    text = refused(run)
    assert "run 99" in text
    assert storage.FORMAT in text


@pytest.mark.parametrize("name", ["logins-00000.parquet", "people-00000.parquet"])
def test_a_file_of_the_right_size_that_is_no_parquet(run, name):
    (run / name).write_bytes(b"x" * (run / name).stat().st_size)
    assert f"{name}: cannot be read" in refused(run)


def test_a_table_without_a_column_or_with_another_type(run):
    path = run / "logins-00000.parquet"
    table = pq.read_table(path)
    for changed in (
        table.drop_columns(["time"]),
        table.set_column(table.column_names.index("country"), "country", table["asn"]),
        table.set_column(table.column_names.index("asn"), "asn", table["country"]),
    ):
        pq.write_table(changed, path)
        edit(run, lambda m: m["files"].update({path.name: path.stat().st_size}))
        assert path.name in refused(run)


def test_people_without_anybody(run):
    path = run / "people-00000.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    edit(run, lambda m: m["files"].update({path.name: path.stat().st_size}))
    assert "holds no accounts" in refused(run)


# --- a hostile manifest


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "..", "", "logins\n-00000.parquet", "x" * 5_000]
)
def test_a_manifest_that_names_other_files_opens_none_of_them(run, name, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="utf-8")

    def change(manifest):
        files = manifest["files"]
        files[name] = files.pop("logins-00000.parquet")

    edit(run, change)
    assert "damaged" in refused(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(shards=0),
        lambda m: m.update(shards=-1),
        lambda m: m.update(shards=10**18),
        lambda m: m.update(shards="1"),
        lambda m: m.update(shards=True),
        lambda m: m.update(files=[]),
        lambda m: m["files"].update({"logins-00000.parquet": "many"}),
        lambda m: m["files"].update({"logins-00000.parquet": None}),
        lambda m: m["files"].update({"logins-00001.parquet": 5}),
        lambda m: m.update(facts=None),
        lambda m: m.update(facts=[1, 2]),
        lambda m: m["facts"].pop("costs"),
        lambda m: m["facts"].update(costs={"message": {}}),
        lambda m: m["facts"].update(costs=7),
        lambda m: m["facts"].update(window=[5]),
        lambda m: m["facts"].update(window=[5, 4]),
        lambda m: m["facts"].update(window=["a", "b"]),
        lambda m: m["facts"].update(users="many"),
        lambda m: m["facts"].update(days=0),
        lambda m: m["facts"].update(name=["us"]),
        lambda m: m["facts"].update(human_side="haunted"),
        lambda m: m["facts"].update(vocabularies={}),
        lambda m: m["facts"].update(vocabularies=[]),
        lambda m: m["facts"].update(surprise=1),
        lambda m: m.pop("format"),
    ],
)  # fmt: skip
def test_a_manifest_with_wrong_types(run, change):
    edit(run, change)
    refused(run)


@given(content=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["format", "shards", "files", "facts"]) | st.text(max_size=5), inner,
        max_size=4),
    max_leaves=8))  # fmt: skip
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_manifest_is_refused_in_one_line(content, saved, tmp_path):
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    for made in (
        content,
        {"format": storage.FORMAT, "shards": 1, "files": content, "facts": content},
    ):
        (folder / MANIFEST).write_text(json.dumps(made), encoding="utf-8")
        refused(folder)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "nul", '{"format": 1e999}', "\x00"])
def test_a_manifest_that_is_no_json(run, text):
    (run / MANIFEST).write_text(text, encoding="utf-8")
    refused(run)


def test_a_manifest_cut_short_anywhere(run):
    whole = (run / MANIFEST).read_bytes()
    for length in range(0, len(whole), len(whole) // 40):
        (run / MANIFEST).write_bytes(whole[:length])
        refused(run)


# --- writing


def test_a_run_is_not_overwritten_unless_asked(run, consumer, same):
    with pytest.raises(InputError, match="exists already"):
        simulate(consumer, users=30, days=3, seed=2, out=run)
    assert open_run(run).facts.users == 60
    new = simulate(consumer, users=30, days=3, seed=2, out=run, overwrite=True)
    same(new, simulate(consumer, users=30, days=3, seed=2))
    assert [p.name for p in run.parent.iterdir()] == ["run"]


def test_only_runs_and_empty_directories_are_ever_replaced(tmp_path, consumer):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_text("cat", encoding="utf-8")
    file = tmp_path / "file"
    file.write_text("text", encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(photos)
    for target in (photos, file, link, Path("/")):
        with pytest.raises(InputError, match="is not a run"):
            simulate(consumer, users=5, days=1, out=target, overwrite=True)
    assert (photos / "cat.jpg").read_text(encoding="utf-8") == "cat"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert simulate(consumer, users=5, days=1, out=empty, overwrite=True).facts.users == 5


def test_an_overwrite_that_fails_keeps_the_old_run(run, consumer, monkeypatch):
    rename = Path.rename

    def fails(self, target):
        if self.name.endswith(".partial"):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(WorkError, match="Permission denied; nothing was left behind"):
        simulate(consumer, users=30, days=3, seed=2, out=run, overwrite=True)
    assert open_run(run).facts.users == 60
    assert [p.name for p in run.parent.iterdir()] == ["run"]


def test_a_full_disk_leaves_nothing(tmp_path, consumer, small_shards, monkeypatch):
    write, calls = pq.write_table, []

    def full(table, where, **options):
        calls.append(where)
        if len(calls) == 4:  # in the second shard
            Path(where).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(table, where, **options)

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(WorkError, match="the disk is full; nothing was left behind") as error:
        simulate(consumer, users=5 * small_shards, days=3, out=tmp_path / "run", workers=2)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_under_the_manifest_leaves_nothing(tmp_path, consumer, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(WorkError, match="the disk is full"):
        simulate(consumer, users=5, days=1, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_real_limit_on_file_size_ends_in_one_line(tmp_path):
    code = """
        import resource, sys
        from twofa_lab.errors import LabError
        from twofa_lab.traffic.simulate import simulate
        simulate(users=5, days=1)  # compiled code is cached before the limit
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            simulate(users=3_000, days=10, out=sys.argv[1])
        except LabError as error:
            print(type(error).__name__, error)
    """
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "run")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("WorkError ")
    assert done.stdout.strip().endswith("nothing was left behind")
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_place_nobody_may_write_to_ends_in_one_line(tmp_path, consumer):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(LabError) as error:
        simulate(consumer, users=5, days=1, out=tmp_path / "file" / "run")
    assert "\n" not in str(error.value)


def test_a_run_left_without_finish_is_removed(tmp_path):
    class Interruption(BaseException):
        pass

    def work():
        with RunWriter(tmp_path / "run") as writer:
            (writer.folder / "logins-00000.parquet").write_bytes(b"half")
            raise Interruption

    with pytest.raises(Interruption):
        work()
    assert list(tmp_path.iterdir()) == []

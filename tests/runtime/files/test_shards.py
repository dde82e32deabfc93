"""Rows are written as one file, or as shards of exact sizes. A later call writes missing shards."""

import json

import numpy as np
import pytest

import vaedge
from vaedge.files import shards
from vaedge.files.shards import write_file, write_shards


class Rows:
    """A source whose row `i` holds the values 2 i and 2 i + 1 in each of the named arrays."""

    def __init__(self, n, row_bytes=8, names=("x",)):
        self.n, self.row_bytes, self.names = n, row_bytes, names
        self.next, self.taken = 0, []

    def take(self, count):
        start = self.next
        self.skip(count)
        self.taken.append(count)
        return {name: np.arange(2 * start, 2 * self.next, dtype=np.float32).reshape(-1, 2) for name in self.names}

    def skip(self, count):
        self.next += count


def ignore(_):
    """Accept a progress report, and do nothing."""


def expected(n):
    return np.arange(2 * n, dtype=np.float32).reshape(n, 2)


MEBIBYTES_64 = 67_108_864


@pytest.mark.parametrize(
    ("row_bytes", "rows"),
    [
        (MEBIBYTES_64 // 512, 512),
        (MEBIBYTES_64 // 512 + 1, 511),
        (MEBIBYTES_64 // 1024, 1024),
        (MEBIBYTES_64 // 1024 + 1, 512),
        (MEBIBYTES_64 // 1500, 1024),
        (MEBIBYTES_64 // 3, 3),
        (MEBIBYTES_64, 1),
        (MEBIBYTES_64 + 1, 1),
        (3136, 20_992),  # images of 28 x 28 pixels: the largest multiple of 512 rows in 64 MiB
    ],
)
def test_shards_hold_a_multiple_of_512_rows_in_64_mebibytes(row_bytes, rows):
    assert shards._rows_per_shard(Rows(1, row_bytes)) == rows


@pytest.fixture
def shards_of_512(monkeypatch):
    monkeypatch.setattr(shards, "_SHARD_BYTES", 8 * 600)


@pytest.mark.usefixtures("shards_of_512")
@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [1]), (511, [511]), (512, [512]), (513, [512, 1]), (1024, [512, 512]), (1300, [512, 512, 276])]
)
def test_rows_are_split_into_shards(tmp_path, n, sizes):
    source, progress = Rows(n), []
    assert write_shards(tmp_path / "out", source, {"command": "test"}, progress.append) == 0
    assert source.taken == progress == sizes
    paths = sorted((tmp_path / "out").glob("*.npy"))
    assert [path.name for path in paths] == [f"{index:06}.npy" for index in range(len(sizes))]
    np.testing.assert_array_equal(np.concatenate([np.load(path) for path in paths]), expected(n))
    job = json.loads((tmp_path / "out" / "job.json").read_text())
    assert job == {"command": "test", "rows": n, "rows_per_shard": 512}


@pytest.mark.usefixtures("shards_of_512")
@pytest.mark.parametrize("n", [1, 512, 513, 1300])
def test_rows_are_written_as_one_file(tmp_path, n):
    source, progress = Rows(n), []
    write_file(tmp_path / "x.npy", source, progress.append)
    found = np.load(tmp_path / "x.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected(n))
    assert source.taken == progress
    assert max(source.taken) <= 512


@pytest.mark.usefixtures("shards_of_512")
def test_several_arrays_are_written_as_archives(tmp_path):
    write_shards(tmp_path / "out", Rows(700, names=("mean", "log_var")), {}, ignore)
    for path, rows in zip(
        sorted((tmp_path / "out").glob("*.npz")), (expected(700)[:512], expected(700)[512:]), strict=True
    ):
        with np.load(path) as archive:
            assert set(archive.files) == {"mean", "log_var"}
            np.testing.assert_array_equal(archive["log_var"], rows)


def damage_nothing(path):
    """Leave the shard undamaged."""


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def remove_rows(path):
    if path.suffix == ".npz":
        with np.load(path) as archive:
            arrays = {name: archive[name][:-1] for name in archive.files}
        np.savez(path, **arrays)
    else:
        np.save(path, np.load(path)[:-1])


@pytest.mark.usefixtures("shards_of_512")
@pytest.mark.parametrize("names", [("x",), ("mean", "log_var")])
@pytest.mark.parametrize(
    ("damage", "existing"),
    [
        (damage_nothing, 3),
        (lambda path: path.unlink(), 2),
        (lambda path: path.write_bytes(b"damaged"), 2),
        (lambda path: path.write_bytes(b""), 2),
        (truncate, 2),
        (remove_rows, 2),
    ],
    ids=["whole", "missing", "damaged", "empty", "truncated", "fewer rows"],
)
def test_only_missing_or_damaged_shards_are_written_again(tmp_path, names, damage, existing):
    folder = tmp_path / "out"
    write_shards(folder, Rows(1300, names=names), {}, ignore)
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(sorted(folder.glob("0*"))[1])
    source = Rows(1300, names=names)
    assert write_shards(folder, source, {}, ignore) == existing
    assert source.taken == [512] * (3 - existing)
    assert source.next == 1300
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == content


@pytest.mark.parametrize(("rows", "job"), [(21, {"seed": 1}), (20, {"seed": 2}), (20, {})])
def test_shards_of_another_job_are_refused(tmp_path, rows, job):
    write_shards(tmp_path / "out", Rows(20), {"seed": 1}, ignore)
    write_shards(tmp_path / "out", Rows(20), {"seed": 1}, ignore)
    with pytest.raises(vaedge.InputError, match=r"holds the shards of another job \(see its job.json\)"):
        write_shards(tmp_path / "out", Rows(rows), job, ignore)


def test_folder_without_a_job_is_refused(tmp_path):
    with pytest.raises(vaedge.InputError, match=r"is not a folder of shards \(it has no job.json\)"):
        write_shards(tmp_path, Rows(20), {}, ignore)


def test_missing_parent_folders_are_created(tmp_path):
    write_shards(tmp_path / "a" / "b", Rows(3), {}, ignore)
    np.testing.assert_array_equal(np.load(tmp_path / "a" / "b" / "000000.npy"), expected(3))


def test_error_of_a_source_leaves_earlier_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_SHARD_BYTES", 8 * 512)

    class Failing(Rows):
        def take(self, count):
            if self.next == 1024:
                raise vaedge.InputError("invalid row")
            return super().take(count)

    with pytest.raises(vaedge.InputError, match="invalid row"):
        write_shards(tmp_path / "out", Failing(1300), {}, ignore)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000000.npy", "000001.npy", "job.json"]
    with pytest.raises(vaedge.InputError, match="invalid row"):
        write_file(tmp_path / "x.npy", Failing(1300), ignore)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

"""Commands write large results in parts, which together have the same rows as a single call.

If a command that writes a folder of shards is interrupted, it can be repeated to write the missing shards.
"""

import json

import numpy as np
import pytest

import vaedge.cli.sources
import vaedge.files.shards
from vaedge.cli.main import main
from vaedge.cli.sources import Buffers


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(vaedge.files.shards, "_SHARD_BYTES", 600 * 4 * 784)  # 512 rows of this model


def shards(folder, name):
    parts = [np.load(path) for path in sorted(folder.glob("0*.np?"))]
    return np.concatenate([part if isinstance(part, np.ndarray) else part[name] for part in parts])


def test_samples_streamed_to_a_file_are_those_of_one_call(vae, bundle, tmp_path, capsys):
    out = tmp_path / "x.npy"
    assert main(["sample", str(bundle), "-n", "1300", "--seed", "3", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), vae.sample(1300, seed=3))
    assert capsys.readouterr().out == f"{out}: 1,300 examples\n"


def test_samples_in_shards_are_those_of_one_call(vae, bundle, tmp_path, capsys):
    out = tmp_path / "s"
    assert main(["sample", str(bundle), "-n", "1300", "--seed", "3", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 1,300 examples in shards\n"
    assert len(list((tmp_path / "s").glob("*.npy"))) == 3
    np.testing.assert_array_equal(shards(tmp_path / "s", "x"), vae.sample(1300, seed=3))


def test_interrupted_job_is_resumed(vae, bundle, tmp_path, capsys):
    argv = ["sample", str(bundle), "-n", "1300", "--seed", "3", "--out", str(tmp_path / "s")]
    assert main(argv) == 0
    middle = tmp_path / "s" / "000001.npy"
    first, content = (tmp_path / "s" / "000000.npy").stat().st_mtime_ns, middle.read_bytes()
    middle.unlink()
    assert main(argv) == 0
    assert "2 shards existed already" in capsys.readouterr().out
    assert middle.read_bytes() == content
    assert (tmp_path / "s" / "000000.npy").stat().st_mtime_ns == first


def test_empty_input_is_refused(bundle, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((0, 1, 28, 28), np.float32))
    for out in ("y.npy", "shards", "y.png"):
        assert main(["reconstruct", str(bundle), str(tmp_path / "x.npy"), "--out", str(tmp_path / out)]) == 1
        assert "give at least one example" in capsys.readouterr().err
        assert not (tmp_path / out).exists()
    assert main(["sample", str(bundle), "-n", "9" * 20, "--out", str(tmp_path / "y.npy")]) == 1
    assert "-n is 99999999999999999999; expected an integer from 1" in capsys.readouterr().err


def test_folder_of_another_job_is_refused(bundle, tmp_path, capsys):
    out = tmp_path / "s"
    argv = ["sample", str(bundle), "-n", "20", "--out", str(out)]
    assert main(argv) == 1
    assert "--seed is missing" in capsys.readouterr().err
    assert main([*argv, "--seed", "1"]) == 0
    assert main([*argv, "--seed", "2"]) == 1
    assert "shards of another job" in capsys.readouterr().err
    assert json.loads((out / "job.json").read_text())["seed"] == 1
    (tmp_path / "mine").mkdir()
    assert main([*argv[:-1], str(tmp_path / "mine"), "--seed", "1"]) == 1
    assert "is not a folder of shards" in capsys.readouterr().err


def test_shards_of_every_command_are_those_of_one_call(vae, bundle, tmp_path):
    x = np.random.default_rng(0).random((700, 1, 28, 28), np.float32)
    np.save(tmp_path / "x.npy", x)
    assert main(["encode", str(bundle), str(tmp_path / "x.npy"), "--out", str(tmp_path / "q")]) == 0
    np.testing.assert_allclose(shards(tmp_path / "q", "mean"), vae.encode(x).mean, atol=1e-6)
    np.testing.assert_allclose(shards(tmp_path / "q", "log_var"), vae.encode(x).log_var, atol=1e-6)
    np.save(tmp_path / "z.npy", vae.encode(x).mean)
    for command, source, expected in (
        ("decode", "z.npy", vae.decode(vae.encode(x).mean)),
        ("reconstruct", "x.npy", vae.reconstruct(x)),
    ):
        assert main([command, str(bundle), str(tmp_path / source), "--out", str(tmp_path / command)]) == 0
        np.testing.assert_allclose(shards(tmp_path / command, "x"), expected, atol=1e-6)
        assert main([command, str(bundle), str(tmp_path / source), "--out", str(tmp_path / "y.npy")]) == 0
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-6)


def test_invalid_row_is_named_and_earlier_shards_stay(bundle, tmp_path, capsys):
    x = np.random.default_rng(0).random((1300, 1, 28, 28), np.float32)
    x[1100, 0, 3, 3] = np.nan
    np.save(tmp_path / "x.npy", x)
    for out in ("q", "y.npy"):
        command = "encode" if out == "q" else "reconstruct"
        assert main([command, str(bundle), str(tmp_path / "x.npy"), "--out", str(tmp_path / out)]) == 1
        expected = "in rows 1024 to 1299, counted as examples 0 to 275: x holds NaN or infinity in example 76"
        assert expected in capsys.readouterr().err
    assert len(list((tmp_path / "q").glob("*.npz"))) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "q"}


def test_other_inputs_and_bundles_are_other_jobs(bundle, copied, tmp_path, capsys):
    x = np.random.default_rng(0).random((20, 1, 28, 28), np.float32)
    np.save(tmp_path / "x.npy", x)
    argv = [str(tmp_path / "x.npy"), "--out", str(tmp_path / "q")]
    assert main(["encode", str(bundle), *argv]) == 0
    assert main(["encode", str(bundle), *argv]) == 0
    np.save(tmp_path / "x.npy", x[::-1])
    assert main(["encode", str(bundle), *argv]) == 1
    (copied / "manifest.json").write_text((copied / "manifest.json").read_text() + " ")
    assert main(["encode", str(copied), *argv]) == 1
    assert capsys.readouterr().err.count("shards of another job") == 2


@pytest.mark.parametrize("damage", [b"garbage", b""])
def test_damaged_shard_is_written_again(vae, bundle, tmp_path, damage):
    argv = ["sample", str(bundle), "-n", "600", "--seed", "3", "--out", str(tmp_path / "s")]
    assert main(argv) == 0
    (tmp_path / "s" / "000001.npy").write_bytes(damage)
    assert main(argv) == 0
    np.testing.assert_array_equal(shards(tmp_path / "s", "x"), vae.sample(600, seed=3))


def test_interrupted_job_prints_how_to_resume(bundle, tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(vaedge.cli.sources.Sampled, "take", interrupted)
    argv = ["sample", str(bundle), "-n", "600", "--seed", "3", "--out", str(tmp_path / "s")]
    assert main(argv) == 130
    assert "interrupted: the shards in" in capsys.readouterr().err


def test_buffers_grow_to_the_largest_request():
    buffers = Buffers((4,))
    assert [buffers.next(rows).shape for rows in (2, 3, 3, 1)] == [(2, 4), (3, 4), (3, 4), (1, 4)]


def test_buffer_is_used_again_by_the_call_after_the_next_one():
    buffers = Buffers((4,))
    first, second, third = (buffers.next(2) for _ in range(3))
    assert np.shares_memory(first, third)
    assert not np.shares_memory(second, third)

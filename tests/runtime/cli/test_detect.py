"""The commands `vaedge calibrate` and `vaedge detect`, and the lines that `vaedge info` prints about calibrations."""

import csv
import shlex
import shutil

import numpy as np
import pytest

import vaedge
from vaedge import VAE
from vaedge.cli.main import main


def run(capsys, *words, status=0):
    """Run a command, and return the lines of stdout; if the status is 1, return the single line of stderr."""
    assert main([str(word) for word in words]) == status
    printed = capsys.readouterr()
    if status == 1:
        assert printed.out == ""
        assert printed.err.startswith("vaedge: ")
        assert printed.err.count("\n") == 1
        return printed.err
    return printed.out.splitlines()


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(vae, bundle, tmp_path_factory):
    """A folder with normal.npy (300 normal examples), x.npy (147 normal examples, 3 anomalies), and calibration.npz."""
    folder = tmp_path_factory.mktemp("detection")
    np.save(folder / "normal.npy", vae.sample(300, seed=0))
    x = vae.sample(150, seed=1)
    x[[3, 70, 149]] = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    np.save(folder / "x.npy", x)
    vae.calibrate(np.load(folder / "normal.npy")).save(folder / "calibration.npz")
    return folder


@pytest.fixture
def words(folder, bundle):
    """The arguments of a valid command `vaedge detect`."""
    return "detect", bundle, folder / "x.npy", "--calibration", folder / "calibration.npz"


@pytest.fixture
def calibrated(copied, folder, replace_file, edit_manifest):
    """A copy of the bundle whose variant fp32 has a calibration."""
    replace_file("calibration.npz", (folder / "calibration.npz").read_bytes())
    return edit_manifest(lambda tree: tree["variants"]["fp32"].update(calibration="calibration.npz"))


def test_calibrate_writes_what_the_method_returns(vae, bundle, folder, tmp_path, capsys):
    out = tmp_path / "c.npz"
    printed = run(capsys, "calibrate", bundle, folder / "normal.npy", "--out", out, "--seed", 3)
    expected = vae.calibrate(np.load(folder / "normal.npy"), seed=3)
    assert out.read_bytes() == expected.to_npz()
    assert printed[0] == f"{out}: calibration of variant fp32 from 300 normal examples (seed 3)"
    n, m = len(expected.scores), len(expected.evaluation)
    assert printed[1] == f"{300 - n - m} examples are used to fit the score"
    assert printed[2].startswith(f"{n} calibration and {m} evaluation examples; ")
    share, error = expected.false_alarms(0.1)
    assert f"false alarms: {100 * share:.3g} % +- {100 * error:.2g} % at 10 %, " in printed[2]
    assert " at 1 %" in printed[2]
    assert " at 0.1 %" not in printed[2]  # this rate needs 999 calibration examples
    assert "all these examples are normal" in printed[3]
    assert "the model was not trained on any of them" in printed[3]


@pytest.mark.parametrize(("n", "rate"), [(300, "0.01"), (20, "0.112")])
def test_next_command_of_calibrate_succeeds(bundle, folder, tmp_path, capsys, n, rate):
    np.save(tmp_path / "normal.npy", np.load(folder / "normal.npy")[:n])
    out = tmp_path / "a calibration.npz"
    *_, measured, _, following = run(capsys, "calibrate", bundle, tmp_path / "normal.npy", "--out", out)
    command = shlex.split(following.removeprefix("next: "))
    assert command[-2:] == ["--false-alarm-rate", rate]
    command[command.index("INPUT")] = folder / "x.npy"
    run(capsys, *command[1:])
    if n == 20:  # 1 / (8 + 1) is the smallest rate of 8 calibration examples
        assert measured.endswith(" at 11.1 %")


def test_next_command_of_calibrate_names_the_variant(bundle, folder, tmp_path, capsys):
    words = ("calibrate", bundle, folder / "normal.npy", "--out", tmp_path / "c.npz", "--variant", "int8")
    assert " --variant int8 " in run(capsys, *words)[-1]


def test_failed_calibration_keeps_the_old_file(bundle, folder, tmp_path, capsys):
    out = tmp_path / "c.npz"
    out.write_bytes(b"old")
    np.save(tmp_path / "few.npy", np.load(folder / "normal.npy")[:19])
    message = run(capsys, "calibrate", bundle, tmp_path / "few.npy", "--out", out, status=1)
    assert "a calibration needs at least 20 normal examples on which the model was not trained, got 19" in message
    assert out.read_bytes() == b"old"
    run(capsys, "calibrate", bundle, folder / "normal.npy", "--out", out)
    assert out.read_bytes() == (folder / "calibration.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.npz", "few.npy"]


def test_calibrate_writes_only_npz(bundle, folder, tmp_path, capsys):
    words = ("calibrate", bundle, folder / "normal.npy", "--out", tmp_path / "c.csv")
    assert "must end in .npz" in run(capsys, *words, status=1)


def test_detect_writes_the_result_of_the_method(bundle, folder, words, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    printed = run(capsys, *words, "--out", out, "--false-alarm-rate", 0.05)
    with vaedge.load(bundle, calibration=folder / "calibration.npz") as vae:
        expected = vae.detect(np.load(folder / "x.npy"), false_alarm_rate=0.05)
    table = rows(out)
    assert list(table[0]) == ["index", "score", "p_value", "is_anomaly"]
    assert [row["index"] for row in table] == [str(index) for index in range(150)]
    np.testing.assert_array_equal(np.array([row["score"] for row in table], np.float32), expected.score)
    np.testing.assert_array_equal([float(row["p_value"]) for row in table], expected.p_value)
    assert [row["is_anomaly"] for row in table] == ["1" if found else "0" for found in expected.is_anomaly]
    assert all(table[row]["is_anomaly"] == "1" for row in (3, 70, 149))
    assert printed[-1] == f"{out}: 150 examples"


def test_detect_prints_the_number_of_anomalies_and_the_five_highest_scores(bundle, folder, words, capsys):
    first, second = run(capsys, *words)
    with vaedge.load(bundle, calibration=folder / "calibration.npz") as vae:
        expected = vae.detect(np.load(folder / "x.npy"))
        n = len(vae.calibration.scores)
    count = expected.is_anomaly.sum()
    assert first == f"anomalies: {count} of 150 examples (false-alarm rate 0.01, {n} calibration examples)"
    order = np.argsort(-expected.score, kind="stable")[:5]
    shown = [f"row {row} ({expected.score[row]:.4g}, p-value {expected.p_value[row]:.3g})" for row in order]
    assert second == f"highest scores: {', '.join(shown)}"
    assert {*order} >= {3, 70, 149}


def test_detect_runs_on_batches_of_64(words, capsys, monkeypatch):
    """Because int8 results depend on the batch, `detect` uses the same batch size as `VAE.calibrate`."""
    sizes, detect = [], VAE.detect
    monkeypatch.setattr(VAE, "detect", lambda vae, x, **options: sizes.append(len(x)) or detect(vae, x, **options))
    run(capsys, *words)
    assert sizes == [64, 64, 22]


def test_detect_uses_the_calibration_of_the_bundle(calibrated, bundle, folder, words, capsys):
    assert run(capsys, "detect", calibrated, folder / "x.npy") == run(capsys, *words)


def test_anomaly_ends_with_status_3_on_demand(folder, words, tmp_path, capsys):
    pytest.importorskip("PIL.Image")
    out, maps = tmp_path / "scores.csv", tmp_path / "maps"
    run(capsys, *words, "--fail-on-anomaly", "--out", out, "--maps", maps, status=3)
    table = rows(out)
    assert len(table) == len(list(maps.iterdir())) == 150
    normal = [row["is_anomaly"] == "0" for row in table]
    assert 100 < sum(normal) < 150
    np.save(tmp_path / "normal.npy", np.load(folder / "x.npy")[normal])
    run(capsys, *words[:2], tmp_path / "normal.npy", *words[3:], "--fail-on-anomaly")
    run(capsys, *words)  # without the option, the status is 0


def test_labels_of_a_table_are_the_condition(table_bundle, tmp_path, capsys):
    normal = np.random.default_rng(0).normal(0, 0.02, (60, 2))
    header = 'height,"weight (kg)",kind\n'
    (tmp_path / "normal.csv").write_text(header + "".join(f"{a},{b},blue\n" for a, b in normal))
    (tmp_path / "x.csv").write_text(f"{header}{normal[0, 0]},{normal[0, 1]},blue\n900,0,blue\n")
    options = ("--label-column", "kind")
    calibration = tmp_path / "c.npz"
    run(capsys, "calibrate", table_bundle, tmp_path / "normal.csv", "--out", calibration, *options)
    words = ("--calibration", calibration, "--false-alarm-rate", 0.05)
    _, highest = run(capsys, "detect", table_bundle, tmp_path / "x.csv", *words, *options)
    assert highest.startswith("highest scores: row 1 in line 3 (")
    np.save(tmp_path / "x.npy", normal)
    message = run(capsys, "detect", table_bundle, tmp_path / "x.npy", *words, status=1)
    assert "this model takes the condition y, which is missing" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--false-alarm-rate", "0"), "false_alarm_rate is 0.0; expected a number above 0 and below 1"),
        (("--false-alarm-rate", "1"), "false_alarm_rate is 1.0; expected a number above 0 and below 1"),
        (("--false-alarm-rate", "nan"), "false_alarm_rate is nan; expected a number above 0 and below 1"),
        (("--false-alarm-rate", "1e-4"), "false_alarm_rate 0.0001 needs at least 9,999 calibration examples"),
        (
            ("--variant", "int8"),
            "calibration.npz is refused as a calibration: the calibration belongs to another bundle or to another",
        ),
        (("--variant", "fastest"), "a calibration belongs to one variant"),
        (("--calibration", "absent.npz"), "absent.npz is missing: `vaedge calibrate` writes such a file"),
        (("--out", "scores.npz"), "must end in .csv"),
    ],
)
def test_detect_refuses_wrong_options(words, capsys, options, message):
    assert message in run(capsys, *words, *options, status=1)


def test_false_alarm_rate_with_a_percent_sign_is_refused_with_an_example(words, capsys):
    with pytest.raises(SystemExit) as stop:
        run(capsys, *words, "--false-alarm-rate", "1%")
    assert stop.value.code == 2
    assert "'1%' is not a number; expected a number above 0 and below 1, such as 0.01" in capsys.readouterr().err


def test_detect_without_a_calibration_says_how_to_get_one(bundle, folder, capsys):
    message = run(capsys, "detect", bundle, folder / "x.npy", status=1)
    assert "variant fp32 of" in message
    assert "vaedge calibrate BUNDLE NORMAL_EXAMPLES --out FILE.npz" in message
    assert "give --calibration FILE.npz" in message


def test_options_are_refused_before_the_input_is_read(words, capsys):
    message = run(capsys, *words[:2], "absent.npy", *words[3:], "--false-alarm-rate", "1", status=1)
    assert "false_alarm_rate is 1.0" in message


def test_info_shows_the_calibration(calibrated, folder, bundle, capsys):
    (line,) = (line for line in run(capsys, "info", calibrated) if line.startswith("detection "))
    described = run(capsys, "calibrate", bundle, folder / "normal.npy", "--out", folder / "again.npz")
    assert line.split(maxsplit=2) == ["detection", "fp32", described[2]]
    assert not [line for line in run(capsys, "info", bundle) if line.startswith("detection ")]


def test_info_says_why_a_calibration_is_refused(calibrated, edit_manifest, folder, capsys):
    def shown():
        (line,) = (line for line in run(capsys, "info", calibrated) if line.startswith("detection "))
        return line

    edit_manifest(lambda tree: tree["variants"]["fp32"].pop("calibration"))
    edit_manifest(lambda tree: tree["variants"]["int8"].update(calibration="calibration.npz"))
    assert (
        "calibration.npz is refused as a calibration: the calibration belongs to another bundle or to another variant"
        in shown()
    )
    shutil.copy(folder / "x.npy", calibrated / "calibration.npz")
    assert "calibration.npz is larger than" in shown()
    (calibrated / "calibration.npz").unlink()
    assert "calibration.npz is missing" in shown()


@pytest.mark.parametrize("measured", [3, [], {"detection": {"false_alarms": "\x1b[2J"}}])
def test_info_ignores_measurements_that_it_does_not_know(calibrated, edit_manifest, capsys, measured):
    if not isinstance(measured, dict):
        measured = {"detection": measured}
    edit_manifest(lambda tree: tree["variants"]["fp32"].update(measured=measured))
    assert any(line.startswith("detection fp32") for line in run(capsys, "info", calibrated))


def pixels(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def red(path):
    """Return red minus green, each from 0 to 255, for all pixels of the second image in a .png file of --maps."""
    overlay = pixels(path)[:, 30:]
    return overlay[:, :, 0] - overlay[:, :, 1]


def test_overlays_have_the_limits_of_the_calibration(bundle, folder, words, tmp_path, capsys):
    pytest.importorskip("PIL.Image")
    maps = tmp_path / "new" / "maps"
    printed = run(capsys, *words, "--maps", maps)
    assert sorted(path.name for path in maps.iterdir()) == [f"{row:06}.png" for row in range(150)]
    with vaedge.load(bundle, calibration=folder / "calibration.npz") as vae:
        found = vae.detect(np.load(folder / "x.npy"), maps=True)
        low, high = vae.calibration.map_range
    distortion = found.maps[:, 0]
    assert printed[-1] == f"{maps}: 150 overlays; no red up to {low:.3g} nats, full red from {high:.3g} nats"
    for row in (0, 3, 64, 149):
        expected = 255 * np.clip((distortion[row] - low) / (high - low), 0, 1)
        np.testing.assert_allclose(red(maps / f"{row:06}.png"), expected, atol=1.1)
    x = np.load(folder / "x.npy")[149, 0]
    np.testing.assert_array_equal(pixels(maps / "000149.png")[:, :28, 0], np.rint(255 * x))


def test_overlay_of_an_image_does_not_depend_on_the_others(folder, words, tmp_path, capsys):
    pytest.importorskip("PIL.Image")
    np.save(tmp_path / "x.npy", np.load(folder / "x.npy")[[3]])
    run(capsys, *words, "--maps", tmp_path / "all")
    run(capsys, *words[:2], tmp_path / "x.npy", *words[3:], "--maps", tmp_path / "one")
    assert (tmp_path / "one" / "000000.png").read_bytes() == (tmp_path / "all" / "000003.png").read_bytes()


def test_overlays_of_a_folder_have_the_names_of_the_images(calibrated, folder, tmp_path, capsys):
    pillow = pytest.importorskip("PIL.Image")
    names = ["a.jpg", "a.png", "sub/b.png"]
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for index, name in enumerate(names):
        x = np.rint(255 * np.load(folder / "x.npy")[index, 0]).astype(np.uint8)
        pillow.fromarray(x).save(tmp_path / "images" / name)
    (tmp_path / "images" / "a_broken.png").write_bytes(b"")
    maps, out = tmp_path / "maps", tmp_path / "scores.csv"
    maps.mkdir()
    run(capsys, "detect", calibrated, tmp_path / "images", "--skip-broken", "--maps", maps, "--out", out)
    found = sorted(path.relative_to(maps).as_posix() for path in maps.rglob("*.png"))
    assert found == ["a.jpg.png", "a.png", "sub/b.png"]
    assert [row["file"] for row in rows(out)] == names
    for name in names[1:]:
        np.testing.assert_array_equal(pixels(maps / name)[:, :28, 0], pixels(tmp_path / "images" / name))


def test_overlays_are_not_written_beside_other_files(words, tmp_path, capsys):
    (tmp_path / "old.png").touch()
    for path in (tmp_path, tmp_path / "old.png"):
        assert "exists and is not an empty folder" in run(capsys, *words, "--maps", path, status=1)
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]


def test_overlays_of_a_table_are_refused(table_bundle, tmp_path, capsys):
    pytest.importorskip("PIL.Image")
    normal = np.random.default_rng(0).normal(0, 0.02, (60, 2)).astype(np.float32)
    np.save(tmp_path / "normal.npy", normal)
    words = (table_bundle, tmp_path / "normal.npy", "--condition", "y=0")
    run(capsys, "calibrate", *words, "--out", tmp_path / "c.npz")
    options = ("--calibration", tmp_path / "c.npz", "--false-alarm-rate", 0.1, "--maps", tmp_path / "maps")
    message = run(capsys, "detect", *words, *options, status=1)
    assert "--maps needs images, but this model's examples have the shape (2,)" in message
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("command", ["calibrate", "detect"])
def test_output_must_not_replace_the_input_or_a_file_of_the_bundle(calibrated, folder, tmp_path, capsys, command):
    suffix = ".npz" if command == "calibrate" else ".csv"
    data = tmp_path / f"data{suffix}"
    data.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (data, tmp_path / "link" / data.name):
        assert "both the input and the output" in run(capsys, command, calibrated, data, "--out", out, status=1)
    assert data.read_bytes() == b"precious"
    before = (calibrated / "calibration.npz").read_bytes()
    out = calibrated / f"calibration{suffix}"
    message = run(capsys, command, calibrated, folder / "normal.npy", "--out", out, status=1)
    assert "is inside of a bundle" in message
    assert (calibrated / "calibration.npz").read_bytes() == before

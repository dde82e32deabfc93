"""The commands on a model card reproduce the bundle of the card."""

import re
import shlex

from vaedge.cli.main import main


def printed_commands(bundle):
    (block,) = re.findall(r"## Training\n\n```sh\n(.*?)```", (bundle / "README.md").read_text(), re.DOTALL)
    return [shlex.split(line) for line in block.splitlines()]


def graphs(bundle):
    return {path.name: path.read_bytes() for path in bundle.glob("*.onnx")}


def test_commands_of_the_card_reproduce_the_graphs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = ["train", "--dataset", "mnist-sample", "--hidden", "32", "--latent", "4", "--epochs", "1"]
    assert main([*train, "--out", "runs/small"]) == 0
    note = "A note with 'quotes' and $signs."
    export = ["export", "runs/small", "--out", "models/small", "--variants", "int8,fp16", "--allow-loss", "2.5"]
    assert main([*export, "--fixed-batch", "4", "--note", note]) == 0
    first = tmp_path / "models" / "small"
    commands = printed_commands(first)
    assert [command[:2] for command in commands] == [["vaedge", "train"], ["vaedge", "export"]]
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    for command in commands:
        assert main(command[1:]) == 0
    second = tmp_path / "again" / "models" / "small"
    assert graphs(second).keys() == {
        *(f"{part}{infix}.onnx" for part in ("encoder", "decoder") for infix in ("", ".int8", ".fp16", ".batch4"))
    }
    assert graphs(second) == graphs(first)
    assert note in (second / "README.md").read_text()

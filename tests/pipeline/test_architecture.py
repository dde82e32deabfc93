"""Who may import whom: vaedge_train <--- vaedge_export ---> vaedge, and nothing else."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = {"vaedge_train": ROOT / "train", "vaedge_export": ROOT / "export", "vaedge": ROOT / "runtime"}
FORBIDDEN = {
    "vaedge": {"torch", "torchvision", "onnx", "onnxscript", "safetensors", "vaedge_train", "vaedge_export"},
    "vaedge_train": {"onnx", "onnxscript", "onnxruntime", "vaedge", "vaedge_export"},
    "vaedge_export": set(),
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who needs whom"
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def modules(package):
    for path in (STAGES[package] / package).rglob("*.py"):
        name = ".".join(path.relative_to(STAGES[package]).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


@pytest.mark.parametrize("package", STAGES)
def test_each_stage_imports_only_what_it_may(package):
    found = {(path.name, name) for _, path in modules(package) for name in imports(path)}
    assert len(found) > 10
    assert not [(file, name) for file, name in found if name.split(".")[0] in FORBIDDEN[package]]


@pytest.mark.parametrize("package", STAGES)
def test_no_import_runs_in_a_circle(package):
    paths = dict(modules(package))
    needs = {
        name: {found for found in imports(path) if found in paths and found not in (package, name)}
        for name, path in paths.items()
    }
    while needs:
        free = {name for name, needed in needs.items() if not needed}
        assert free, f"these import each other in a circle: {sorted(needs)}"
        needs = {name: needed - free for name, needed in needs.items() if name not in free}


def test_files_fit_in_the_head():
    lengths = {path: len(path.read_text().splitlines()) for package in STAGES for _, path in modules(package)}
    assert not {path.name: length for path, length in lengths.items() if length > 300}

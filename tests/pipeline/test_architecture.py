"""The packages follow the rules of docs/architecture.md about imports, lengths of files, and names."""

import ast
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"vaedge": ROOT / "runtime", "vaedge_train": ROOT / "train", "vaedge_export": ROOT / "export"}
# The top-level packages that a package of this project may import, besides the standard library.
ALLOWED = {
    "vaedge": {
        "vaedge",
        "numpy",
        "onnxruntime",
        "PIL",
        "tqdm",
        "openvino",
        "matplotlib",
        "uvicorn",
        "orjson",
        "prometheus_client",
    },
    "vaedge_train": {
        *("vaedge_train", "vaedge", "numpy", "torch", "torchvision", "safetensors", "PIL", "tqdm"),
        *("pydantic", "tensorboard", "matplotlib"),
    },
    "vaedge_export": {
        *("vaedge_export", "vaedge_train", "vaedge", "numpy", "torch", "onnx", "onnxscript", "onnxruntime"),
        *("onnx_ir", "safetensors", "jinja2", "PIL"),
    },
}
# The parts of the runtime that training may import. They need only numpy, and do not load ONNX Runtime.
TRAINING_MAY_IMPORT = {
    "vaedge",
    "vaedge.errors",
    "vaedge.validation",
    "vaedge._types",
    "vaedge.files",
    "vaedge.distributions",
    "vaedge.cli",  # for progress bars, and because `python -m vaedge_train` runs `vaedge train`
}
FOLDERS_MAY_IMPORT = {"errors", "_types", "validation"}
MAX_IMPORTS_BETWEEN_ENTRIES = {"vaedge": 69, "vaedge_train": 45}
MAX_LINES = 300
LONGER_FILES = {"runtime/vaedge/vae.py": "the public methods of one class, each with its full documentation"}


def modules(package):
    """Return a dict from the name of each module of a package to its path.

    An `__init__.py` has the name of its package.
    """
    paths = {}
    for path in (FOLDERS[package] / package).rglob("*.py"):
        name = ".".join(path.relative_to(FOLDERS[package]).with_suffix("").parts)
        paths[name.removesuffix(".__init__")] = path
    return paths


ALL_MODULES = {name: path for package in FOLDERS for name, path in modules(package).items()}


def imports(path):
    """Return the names of the modules that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports"
            for name in node.names:
                submodule = f"{node.module}.{name.name}"
                found.add(submodule if submodule in ALL_MODULES else node.module)
    return found


def entry(module):
    """Return the top-level folder of a module, the name of a top-level module, or "__init__" for the package."""
    return [*module.split("."), "__init__"][1]


def imports_between_modules(package):
    """Return a dict from each module of a package to the modules of the same package that it imports."""
    paths = modules(package)
    return {name: {found for found in imports(path) if found in paths} - {name} for name, path in paths.items()}


def imports_between_entries(package):
    """Return a dict from each top-level module or folder of a package to those that it imports."""
    entries = defaultdict(set)
    for name, found in imports_between_modules(package).items():
        entries[entry(name)] |= {entry(other) for other in found} - {entry(name)}
    return dict(entries)


def assert_no_cycle(graph):
    """Fail if modules import each other in a cycle.

    Modules that import no remaining module are removed, again and again. Modules in a cycle are never removed.
    """
    rest = dict(graph)
    while rest:
        free = {name for name, found in rest.items() if not found & rest.keys()}
        assert free, f"these import each other in a cycle: {sorted(rest)}"
        rest = {name: found for name, found in rest.items() if name not in free}


@pytest.mark.parametrize("package", FOLDERS)
def test_package_imports_only_allowed_packages(package):
    allowed = ALLOWED[package] | sys.stdlib_module_names
    found = {(str(path), name) for path in modules(package).values() for name in imports(path)}
    assert len(found) > 10
    assert not [(path, name) for path, name in found if name.split(".")[0] not in allowed]


def test_training_imports_only_numpy_parts_of_the_runtime():
    paths = modules("vaedge_train")
    del paths["vaedge_train.__main__"]  # runs the command `vaedge train`, so it imports vaedge.cli
    found = {name for path in paths.values() for name in imports(path)}
    of_runtime = {name for name in found if name.split(".")[0] == "vaedge"}
    assert {".".join(name.split(".")[:2]) for name in of_runtime} <= TRAINING_MAY_IMPORT


@pytest.mark.parametrize("package", FOLDERS)
def test_modules_do_not_import_each_other_in_a_cycle(package):
    assert_no_cycle(imports_between_modules(package))


@pytest.mark.parametrize("package", FOLDERS)
def test_top_level_entries_do_not_import_each_other_in_a_cycle(package):
    assert_no_cycle(imports_between_entries(package))


@pytest.mark.parametrize("package", MAX_IMPORTS_BETWEEN_ENTRIES)
def test_imports_between_top_level_entries_are_few(package):
    pairs = [f"{name} -> {other}" for name, found in imports_between_entries(package).items() for other in found]
    assert len(pairs) <= MAX_IMPORTS_BETWEEN_ENTRIES[package], sorted(pairs)


def test_folders_of_the_runtime_import_little_from_its_top_level():
    folders = {path.name for path in (FOLDERS["vaedge"] / "vaedge").iterdir() if path.is_dir()}
    found = imports_between_entries("vaedge")
    for folder in folders & found.keys():
        # The command line and the server may import the public names, as other users do.
        allowed = FOLDERS_MAY_IMPORT | ({"__init__"} if folder in ("cli", "server") else set())
        assert found[folder] - folders <= allowed, folder


def test_validation_imports_no_folder():
    assert imports_between_entries("vaedge")["validation"] <= {"errors", "_types"}


def test_files_folder_does_not_import_the_vae():
    assert imports_between_entries("vaedge")["files"] <= FOLDERS_MAY_IMPORT


def test_files_are_short():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for package in FOLDERS
        for path in modules(package).values()
    }
    long = {path for path, length in lengths.items() if length > MAX_LINES}
    assert long <= LONGER_FILES.keys(), {path: lengths[path] for path in long}


@pytest.mark.parametrize("package", FOLDERS)
def test_every_folder_says_what_it_contains(package):
    for path in modules(package).values():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text())), path


@pytest.mark.parametrize("package", FOLDERS)
def test_no_imported_name_shadows_a_module(package):
    """For example, a module `vaedge/check.py` would conflict with the function `vaedge.check`."""
    for path in modules(package).values():
        if path.name != "__init__.py":
            continue
        submodules = {child.stem for child in path.parent.glob("*.py")} | {
            child.parent.name for child in path.parent.glob("*/__init__.py")
        }
        for node in ast.parse(path.read_text()).body:
            names = [name.asname or name.name for name in node.names] if isinstance(node, ast.ImportFrom) else []
            assert not submodules & set(names), path

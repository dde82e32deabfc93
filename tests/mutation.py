"""Mutation testing: change the packages at random points, one at a time, and list the changes that no test notices.

    python tests/mutation.py --seed 0 --start 0 --count 50

The order of the mutants depends only on the seed and on the source, so that several commands can test one range each.
Each mutant runs in a copy of the checkout. The tests of the changed file run first, then the tests of its folder, then
the tests of its package. A mutant is killed if a test fails or times out; otherwise it survives. Results are appended
to a file. After an interruption, the same command resumes.
"""

import argparse
import ast
import copy
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = {"runtime/vaedge": "tests/runtime", "train/vaedge_train": "tests/train", "export/vaedge_export": "tests/export"}
PYTEST = ("-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider")
NO_TESTS = 5  # exit status of pytest if it finds no test


def _both_ways(*pairs: tuple[type, type]) -> dict[type, type]:
    return {**dict(pairs), **{second: first for first, second in pairs}}


_COMPARISONS = _both_ways(
    (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)
)
_OPERATORS = {
    **_both_ways((ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.LShift, ast.RShift), (ast.BitAnd, ast.BitOr)),
    **dict.fromkeys((ast.FloorDiv, ast.Mod, ast.Pow), ast.Mult),
}
# Functions whose arguments are not swapped, because any test would find the TypeError.
_TYPED = {"isinstance", "getattr", "hasattr", "setattr", "issubclass"}


@dataclass(frozen=True)
class Mutant:
    """A mutant: one change in one file.

    Attributes:
        file: Path of the file, relative to the checkout.
        line: Number of the first changed line.
        kind: Name of the kind of change.
        before: Source of the node that is replaced.
        after: Source that replaces the node.
        start: Offset of the node in the file, in bytes.
        end: Offset of the end of the node in the file, in bytes.
    """

    file: str
    line: int
    kind: str
    before: str
    after: str
    start: int
    end: int

    def apply(self, source: bytes) -> bytes:
        """Return the changed source of the file."""
        return source[: self.start] + self.after.encode() + source[self.end :]

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.file}:{self.line} ({self.kind}): {before}  ->  {after}"


def find_mutants(file: str, source: bytes) -> Iterator[Mutant]:
    """Yield every mutant of a file.

    Annotations are not changed, because they have no effect. f-strings are not changed, because Python 3.11 does not
    give the positions of their parts.
    """
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in _code_nodes(ast.parse(source)):
        for kind, changed in _changes(node):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            before, after = source[start:end].decode(), ast.unparse(changed)
            if isinstance(changed, ast.expr):
                after = f"({after})"
            yield Mutant(file, node.lineno, kind, before, after, start, end)


def _code_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the descendants of a syntax tree node, without annotations and f-strings."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr) or _is_type_alias(child):
                continue
            yield child
            yield from _code_nodes(child)


def _is_type_alias(node: ast.AST) -> bool:
    """Return whether a syntax tree node looks like a type alias: `Name: TypeAlias = ...` or `Name = A | B`."""
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.annotation) == "TypeAlias"
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.BitOr)


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield each possible change of a syntax tree node, as a pair: the kind of change, and the changed node."""
    changed = copy.deepcopy(node)
    match node:
        case ast.Compare(ops=[operator, *_]):
            changed.ops[0] = _COMPARISONS[type(operator)]()
            yield "comparison", changed
        case ast.BinOp(op=operator) if type(operator) in _OPERATORS and not _joins_text(node):
            changed.op = _OPERATORS[type(operator)]()
            yield "arithmetic", changed
        case ast.AugAssign(op=operator) if type(operator) in _OPERATORS and not _joins_text(node):
            changed.op = _OPERATORS[type(operator)]()
            yield "arithmetic", changed
        case ast.BoolOp(op=operator):
            changed.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "and/or", changed
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "removed sign", operand
        case ast.IfExp():
            changed.body, changed.orelse = node.orelse, node.body
            yield "negation", changed
        case ast.Constant(value=bool()):
            changed.value = not node.value
            yield "constant", changed
        case ast.Constant(value=int()):
            changed.value = node.value + 1
            yield "constant", changed
        case ast.Constant(value=float()):
            changed.value = node.value * 1.5 or 1.0
            yield "constant", changed
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield "return value", ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            yield "deleted call", ast.Pass()
        case ast.Call(func=function, args=[first, second, *_]) if ast.unparse(function) not in _TYPED:
            if ast.unparse(first) != ast.unparse(second):
                changed.args[:2] = [second, first]
                yield "swapped arguments", changed


def _joins_text(node: ast.BinOp | ast.AugAssign) -> bool:
    """Return whether an operand is a literal string or container.

    Operations on such operands are not changed, because another operator would only raise TypeError.
    """
    operands = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    texts = (ast.JoinedStr, ast.List, ast.Tuple, ast.Dict)
    return any(isinstance(part, texts) or isinstance(getattr(part, "value", None), str | bytes) for part in operands)


def ordered_mutants(seed: int, packages: list[str]) -> list[Mutant]:
    """Return all mutants of the packages, shuffled with a seed."""
    found = []
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            found += find_mutants(str(path.relative_to(ROOT)), path.read_bytes())
    random.Random(seed).shuffle(found)
    return found


def copy_checkout(folder: Path) -> None:
    """Copy the checkout to a folder: all files that git tracks or would add."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(words, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def stages(file: str, pipeline: bool) -> list[list[str]]:
    """Return the arguments of pytest for each stage: tests of the file, its folder, its package, and the pipeline."""
    package = next(package for package in TESTS if file.startswith(f"{package}/"))
    tests, path = ROOT / TESTS[package], Path(file)
    own = sorted(tests.rglob(f"test_{path.stem.strip('_')}.py"))
    folder = tests / path.parent.relative_to(package)
    parts = [own, [folder] if folder.is_dir() and folder != tests else [], [tests]]
    parts += [[ROOT / "tests" / "pipeline"]] if pipeline else []
    found, done = [], []
    for paths in parts:
        names = [str(path.relative_to(ROOT)) for path in paths]
        if names:
            found.append([*names, *(f"--ignore={name}" for name in done)])
            done += names
    return found


def run_tests(folder: Path, arguments: list[str], timeout: float) -> str:
    """Run pytest in a copy of the checkout; return "passed", "failed" or "timed out"."""
    paths = os.pathsep.join(str(folder / package.split("/")[0]) for package in TESTS)
    # Do not write bytecode. Python would use old bytecode if a changed file has the same size and time as before.
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, *PYTEST, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        return "timed out"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return "passed" if status in (0, NO_TESTS) else "failed"


def test_mutant(folder: Path, mutant: Mutant, pipeline: bool, timeout: float) -> dict[str, object]:
    """Apply one mutant to the copy of the checkout, run the tests in stages, and restore the file."""
    path, began = folder / mutant.file, time.monotonic()
    source = path.read_bytes()
    path.write_bytes(mutant.apply(source))
    outcome = "passed"
    try:
        for arguments in stages(mutant.file, pipeline):
            outcome = run_tests(folder, arguments, timeout)
            if outcome != "passed":
                break
    finally:
        path.write_bytes(source)
    return {"outcome": outcome, "seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    """Run a range of mutants, and print the mutants that no test kills."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of the random order of the mutants")
    parser.add_argument("--start", type=int, default=0, help="index of the first mutant to test")
    parser.add_argument("--count", type=int, default=50, help="number of mutants to test")
    parser.add_argument(
        "--packages", nargs="+", choices=TESTS, default=list(TESTS), help="packages in which to make changes"
    )
    parser.add_argument(
        "--pipeline", action="store_true", help="also run tests/pipeline on mutants that survive other tests"
    )
    parser.add_argument("--timeout", type=float, default=300, help="time limit of each stage of the tests, in seconds")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "build" / "mutation.jsonl", help="file to append the results to"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants without running tests")
    args = parser.parse_args()
    mutants = ordered_mutants(args.seed, args.packages)
    chosen = mutants[args.start : args.start + args.count]
    print(f"{len(mutants)} mutants, of which {len(chosen)} are chosen", flush=True)
    if args.list:
        print(*chosen, sep="\n")
        return
    args.results.parent.mkdir(parents=True, exist_ok=True)
    lines = args.results.read_text().splitlines() if args.results.exists() else []
    results = {result["key"]: result for result in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as scratch, args.results.open("a") as file:
        folder = Path(scratch)
        copy_checkout(folder)
        require_passing_tests(folder, chosen, args.pipeline, args.timeout)
        for index, mutant in enumerate(chosen, args.start):
            key = _key(mutant, args.pipeline)
            if key not in results:
                results[key] = {
                    "key": key,
                    **test_mutant(folder, mutant, args.pipeline, args.timeout),
                    **asdict(mutant),
                }
                print(json.dumps(results[key]), file=file, flush=True)
            print(f"{index}: {results[key]['outcome']} in {results[key]['seconds']} s: {mutant}", flush=True)
    survivors = [mutant for mutant in chosen if results[_key(mutant, args.pipeline)]["outcome"] == "passed"]
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} mutants were killed. Survivors:", *survivors, sep="\n")


def require_passing_tests(folder: Path, mutants: list[Mutant], pipeline: bool, timeout: float) -> None:
    """Exit with a message if tests fail in the unchanged copy, because they would then kill every mutant."""
    for tests in sorted({arguments[0] for mutant in mutants for arguments in stages(mutant.file, pipeline)[-1:]}):
        outcome = run_tests(folder, [tests], timeout)
        if outcome != "passed":
            raise SystemExit(f"without a mutant, {tests} {outcome}; make these tests pass, or raise --timeout")


def _key(mutant: Mutant, pipeline: bool) -> str:
    """Return a digest that identifies a result. It covers the mutant, the source of its file, and the chosen tests."""
    source = (ROOT / mutant.file).read_bytes()
    return hashlib.sha256(repr((asdict(mutant), source, pipeline)).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()

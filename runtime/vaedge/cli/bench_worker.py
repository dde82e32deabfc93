"""The process in which `vaedge bench` runs a candidate.

This file runs as a script, in any interpreter that has numpy and ONNX Runtime. vaedge need not be installed for this
interpreter, because the script finds the package `vaedge` by its own path. It imports no other package from the
folder in which `vaedge` is installed.
"""

import sys

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this script, whose modules could replace modules of the standard library
if sys.version_info < (3, 11):  # noqa: UP036 (the interpreter need not have installed vaedge)
    sys.exit("vaedge needs Python 3.11 or newer, and this is Python " + sys.version.split()[0])

import importlib.util
import os
from pathlib import Path
from typing import IO


def _import_vaedge() -> None:
    """Import vaedge from the folder that contains this file."""
    folder = Path(__file__).parents[1]
    spec = importlib.util.spec_from_file_location(
        "vaedge", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["vaedge"] = module
    spec.loader.exec_module(module)


def _serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Load a bundle and reconstruct one example. Then answer requests until the stream ends.

    If vaedge raises one of its own errors, the error is sent as the last reply.
    """
    from vaedge.benchmark.messages import GREETING, write_message
    from vaedge.errors import VaedgeError

    importlib.import_module("onnxruntime")
    replies.write(GREETING)
    replies.flush()
    try:
        _answer(requests, replies)
    except VaedgeError as error:
        write_message(replies, {"error": type(error).__name__, "message": str(error)})


def _answer(requests: IO[bytes], replies: IO[bytes]) -> None:
    from vaedge.benchmark.messages import read_message, write_message
    from vaedge.benchmark.timing import LocalCall, operation_call
    from vaedge.bundle.reference import Inputs
    from vaedge.cli.bench_candidates import Options, describe, load_candidate
    from vaedge.engine.cpus import peak_memory

    fields, arrays = read_message(requests)
    options = Options(**fields)
    candidate = load_candidate(options)
    candidate.reconstruct(arrays.pop("x"), conditions=arrays)
    write_message(replies, {"peak_bytes": peak_memory()})
    calls: list[LocalCall] = []
    while True:
        try:
            fields, arrays = read_message(requests)
        except EOFError:
            return
        request = fields["request"]
        if request == "describe":
            write_message(replies, describe(candidate, options))
        elif request == "call":
            rows = Inputs(arrays.pop("x"), arrays.pop("z"), arrays)
            calls.append(LocalCall(operation_call(candidate, fields["operation"], rows)))
            write_message(replies, {}, {"result": calls[-1].result()})
        else:
            timed = calls[fields["call"]].timed(fields["seconds"])
            write_message(replies, {"cpus": timed.cpus}, {"durations": timed.durations})


def _main() -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # text that libraries print must not end up among the replies
    _import_vaedge()
    _serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    _main()

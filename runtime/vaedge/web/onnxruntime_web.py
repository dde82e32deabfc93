"""The files of the npm package onnxruntime-web, prepared for a page that makes no requests."""

import re
from pathlib import Path

from vaedge.errors import InputError, VaedgeError

SCRIPT_NAME = "ort.wasm.bundle.min.mjs"
WASM_NAME = "ort-wasm-simd-threaded.wasm"
GLOBAL = "onnxruntimeWeb"
TESTED_RELEASE = "1.30.0"
_ADVICE = (
    "run `npm install onnxruntime-web` and give node_modules/onnxruntime-web/dist, or run `npm pack onnxruntime-web` "
    "and give the folder package/dist of the archive"
)
_EXPORT = re.compile(r"\bexport\s*\{([^{}]*)\};?")
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)


def read_onnxruntime_web(folder: Path) -> tuple[str, bytes]:
    """Return a script and the content of the WebAssembly file.

    The script assigns the module onnxruntime-web to the global variable that `GLOBAL` names.

    Args:
        folder: The folder `dist` of the npm package.

    Raises:
        InputError: The folder does not contain the files.
        VaedgeError: The script of this release cannot be inlined.
    """
    missing = [name for name in (SCRIPT_NAME, WASM_NAME) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} does not contain {' and '.join(missing)} of onnxruntime-web; {_ADVICE}")
    return _inline((folder / SCRIPT_NAME).read_text(encoding="utf-8")), (folder / WASM_NAME).read_bytes()


def _inline(script: str) -> str:
    """Convert a JavaScript module to a script that a page can contain."""
    # ONNX Runtime uses the address to find further files. The page passes the WebAssembly, so any absolute URL works.
    script = _SOURCE_MAP.sub("", script.replace("import.meta.url", '"https://onnxruntime.invalid/ort.mjs"'))
    script, count = _EXPORT.subn(_assignment, script)
    if count != 1 or "import.meta" in script or "</script" in script.lower():
        raise VaedgeError(
            f"{SCRIPT_NAME} has a form that vaedge cannot inline; run `npm install onnxruntime-web@{TESTED_RELEASE}`"
        )
    return script


def _assignment(match: re.Match[str]) -> str:
    pairs = [part.split(" as ") for part in match[1].split(",")]
    return f"globalThis.{GLOBAL}={{{','.join(f'{pair[-1].strip()}:{pair[0].strip()}' for pair in pairs)}}};"

"""Build the explorer: one HTML file with a bundle, the JavaScript runtime, and ONNX Runtime."""

import base64
import gzip
import hashlib
import html
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from vaedge.bundle.manifest import MANIFEST_NAME, Manifest
from vaedge.bundle.reader import read_bundle, read_manifest
from vaedge.errors import BundleError, InputError
from vaedge.web.bundler import bundle_modules
from vaedge.web.onnxruntime_web import WASM_NAME, read_onnxruntime_web

_EXPLORER = Path(__file__).parent / "explorer"
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_CARD_NAME = "README.md"
_MAX_CARD_BYTES = 200_000


def build_page(
    bundle: str | os.PathLike[str], onnxruntime_web: str | os.PathLike[str], variants: Sequence[str] = ()
) -> bytes:
    """Return the HTML of the explorer. The same files give the same bytes.

    Args:
        bundle: The bundle's folder.
        onnxruntime_web: The folder `dist` of the npm package onnxruntime-web.
        variants: Names of the variants in the page. The page shows the first one. An empty sequence selects the
            smallest variant.

    Raises:
        BundleNotFoundError: The bundle or one of its files is missing.
        BundleError: A file of the bundle is damaged, or has content that is not allowed.
        InputError: A variant is unknown or is named twice, or `onnxruntime_web` does not contain the files of the
            package.
    """
    script, wasm = read_onnxruntime_web(Path(onnxruntime_web))
    manifest, sha256 = read_manifest(bundle)
    names = list(variants) or [_smallest_variant(manifest)]
    if len(set(names)) < len(names):
        raise InputError(f"the variants {', '.join(names)} contain a duplicate; name each variant once")
    settings = {"variants": names, "card": _read_card(Path(bundle))}
    parts = {
        "style": (_EXPLORER / "explorer.css").read_text(encoding="utf-8"),
        "onnxruntime": script,
        "script": bundle_modules(_EXPLORER / "explorer.js"),
        "licenses": (_EXPLORER / "licenses.html").read_text(encoding="utf-8"),
        "numpy": html.escape(_first_comment(Path(__file__).with_name("ziggurat.js").read_text(encoding="utf-8"))),
        # A "<" in a string could end the script element. JSON allows this escape in every string.
        "settings": json.dumps(settings, ensure_ascii=False, sort_keys=True).replace("<", "\\u003c"),
        "files": "".join(_data(name, content) for name, content in _read_files(bundle, sha256, names).items()),
        "wasm": _data(WASM_NAME, wasm),
    }
    scripts = " ".join(_hash_source(parts[name]) for name in ("onnxruntime", "script"))
    parts["policy"] = (
        f"default-src 'none'; script-src {scripts} 'wasm-unsafe-eval'; style-src {_hash_source(parts['style'])}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    template = (_EXPLORER / "index.html").read_text(encoding="utf-8")
    return _PLACEHOLDER.sub(lambda match: parts[match[1]], template).encode()


def _smallest_variant(manifest: Manifest) -> str:
    def size(name: str) -> int:
        graphs = manifest.variants[name]
        return manifest.files[graphs.encoder].bytes + manifest.files[graphs.decoder].bytes

    return min(manifest.variants, key=size)


def _read_files(path: str | os.PathLike[str], sha256: str, variants: Sequence[str]) -> dict[str, bytes]:
    """Return a dict from file name to verified content: the manifest, and every file that the variants use."""
    content = (Path(path) / MANIFEST_NAME).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BundleError(f"{Path(path) / MANIFEST_NAME} changed while the page was built; build the page again")
    files = {MANIFEST_NAME: content}
    for name in variants:
        bundle = read_bundle(path, name, sha256)
        graphs, prior = bundle.manifest.variants[name], bundle.manifest.prior_file
        files |= {graphs.encoder: bundle.encoder, graphs.decoder: bundle.decoder}
        if prior is not None and bundle.prior is not None:
            files[prior] = bundle.prior
        if graphs.calibration is not None and bundle.calibration is not None:
            files[graphs.calibration] = bundle.calibration.content
        if graphs.reference is not None:
            files[graphs.reference] = bundle.read(graphs.reference)
    return files


def _read_card(folder: Path) -> str:
    """Return the text of the model card, or "" if there is no card that is UTF-8 text of at most _MAX_CARD_BYTES."""
    try:
        with (folder / _CARD_NAME).open("rb") as file:
            content = file.read(_MAX_CARD_BYTES + 1)
        return content.decode("utf-8") if len(content) <= _MAX_CARD_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _data(name: str, content: bytes) -> str:
    """Return an HTML element that holds a file in base64. The file is first compressed if this makes it smaller."""
    compressed = gzip.compress(content, 9, mtime=0)
    encoding, stored = ("gzip", compressed) if len(compressed) < len(content) else ("identity", content)
    text = base64.b64encode(stored).decode("ascii")
    return f'<script type="text/plain" data-file="{name}" data-encoding="{encoding}">{text}</script>\n'


def _first_comment(script: str) -> str:
    """Return the text of the first comment of a script. In `ziggurat.js`, it contains NumPy's license."""
    return re.sub(r"^ \* ?", "", script.partition("/**")[2].partition("*/")[0], flags=re.MULTILINE).strip()


def _hash_source(text: str) -> str:
    """Return the source expression of a content security policy that allows exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"

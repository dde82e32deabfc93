"""The command `vaedge page`: its bundler, which joins JavaScript modules, and the content of the HTML page."""

import base64
import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

import vaedge
from vaedge.cli.main import main
from vaedge.errors import VaedgeError
from vaedge.web.bundler import bundle_modules
from vaedge.web.onnxruntime_web import TESTED_RELEASE
from vaedge.web.page import build_page

ROOT = Path(__file__).parents[2]
MNIST = ROOT / "models" / "mnist"
REAL_DIST = ROOT / "runtime" / "vaedge" / "web" / "node_modules" / "onnxruntime-web" / "dist"
SCRIPT = "var a=import.meta.url,$b=1;export{$b as InferenceSession,a as env};\n//# sourceMappingURL=ort.mjs.map\n"


@pytest.fixture
def dist(tmp_path):
    """A folder with short replacements for the two files of onnxruntime-web that a page needs."""
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "ort.wasm.bundle.min.mjs").write_text(SCRIPT)
    (folder / "ort-wasm-simd-threaded.wasm").write_bytes(b"\0asm" + bytes(1000))
    return folder


def write_modules(folder, **modules):
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return folder / "entry.js"


def embedded(page):
    """Return the contents of the files that are embedded in an HTML page, as a dict with the names of the files."""
    found = re.findall(rb'<script type="text/plain" data-file="(.*?)" data-encoding="(\w+)">(.*?)</script>', page)
    read = {b"gzip": gzip.decompress, b"identity": bytes}
    return {name.decode(): read[encoding](base64.b64decode(text)) for name, encoding, text in found}


def page_command(*words):
    return main(["page", *map(str, words)])


def test_bundler_runs_each_module_once_and_before_its_importers(node, tmp_path):
    entry = write_modules(
        tmp_path,
        entry='import { twice as double, count } from "./math.js";\nimport { A } from "./all.js";\n'
        "globalThis.result = [double(4), count(), count(), new A().b, typeof twice];\n"
        'export const later = () => import("onnxruntime-web");\n',
        all='export { A } from "./types.js";\nexport { count } from "./math.js";\n',
        types='import {\n  twice,\n} from "./math.js";\n/** @type {import("./math.js").Count} */\n'
        "class A {\n  b = twice(1);\n}\nexport { A };\n",
        math="let calls = 0;\nexport function twice(x) {\n  return 2 * x;\n}\n"
        "export const count = () => (calls += 1);\n",
    )
    (tmp_path / "script.mjs").write_text(bundle_modules(entry) + "console.log(JSON.stringify(result));\n")
    assert json.loads(node(tmp_path / "script.mjs")) == [8, 1, 2, 2, "undefined"]


@pytest.mark.parametrize(
    "text",
    [
        'import A from "./math.js";',
        'import * as math from "./math.js";',
        'import "./math.js";',
        "export default 3;",
        "export let a = 1;",
        'export * from "./math.js";',
        'const math = await import("./math.js");',
        'import { a } from "package";',
    ],
)
def test_bundler_rejects_unsupported_forms(text, tmp_path):
    entry = write_modules(tmp_path, entry=f"{text}\n", math="export const a = 1;\n")
    with pytest.raises(VaedgeError, match=r"entry\.js"):
        bundle_modules(entry)


def test_bundler_rejects_a_cycle(tmp_path):
    entry = write_modules(
        tmp_path,
        entry='import { b } from "./b.js";\nexport const a = 1;\n',
        b='import { a } from "./entry.js";\nexport const b = 2;\n',
    )
    with pytest.raises(VaedgeError, match="imports itself"):
        bundle_modules(entry)


def test_page_contains_the_verified_files_of_the_variant(dist):
    page = build_page(MNIST, dist)
    files = embedded(page)
    wasm = files.pop("ort-wasm-simd-threaded.wasm")
    assert wasm == (dist / "ort-wasm-simd-threaded.wasm").read_bytes()
    names = {"manifest.json", "encoder.int8.onnx", "decoder.int8.onnx", "prior.npz", "reference.int8.npz"}
    assert files == {name: (MNIST / name).read_bytes() for name in names}  # int8 is the smallest variant
    assert embedded(build_page(MNIST, dist, ["fp32", "int8"])).keys() >= names | {"encoder.onnx", "reference.npz"}


def test_same_files_give_the_same_bytes(dist):
    assert build_page(MNIST, dist) == build_page(MNIST, dist)


def test_policy_allows_exactly_the_scripts_and_the_style_of_the_page(dist):
    text = build_page(MNIST, dist).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    sources = re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert (len(sources), len(styles)) == (2, 1)
    hashes = {base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in sources + styles}
    assert set(re.findall(r"sha256-([^']+)'", policy)) == hashes
    assert not re.search(r"\{\{\w+\}\}", text)


def test_onnxruntime_is_inlined_without_imports_and_exports(dist):
    script = re.search(r'<script type="module">(var a.*?)</script>', build_page(MNIST, dist).decode(), re.DOTALL)[1]
    assert script.endswith(";globalThis.onnxruntimeWeb={InferenceSession:$b,env:a};\n\n")
    assert "import.meta" not in script
    assert "sourceMappingURL" not in script


def test_page_has_the_license_notices(dist):
    text = build_page(MNIST, dist).decode()
    for notice in ("Copyright (c) Microsoft Corporation", "NumPy Developers", "Apache License, Version 2.0"):
        assert notice in text


def test_text_of_the_card_cannot_end_the_script(dist, tmp_path):
    bundle = shutil.copytree(MNIST, tmp_path / "bundle")
    (bundle / "README.md").write_text("</script><script>alert(1)</script><!--")
    text = build_page(bundle, dist).decode()
    settings = re.search(r'<script type="application/json" id="settings">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(settings) == {"variants": ["int8"], "card": "</script><script>alert(1)</script><!--"}


def test_command_writes_the_page(dist, tmp_path, capsys):
    out = tmp_path / "explorer.html"
    assert page_command(MNIST, "--out", out, "--onnxruntime-web", dist, "--variants", "fp32") == 0
    assert out.read_bytes() == build_page(MNIST, dist, ["fp32"])
    assert f"{out}: {out.stat().st_size:,} bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--variants": ["int9"]}, "has no variant 'int9'; it has fp32, int8"),
        ({"--variants": ["int8", "int8"]}, "name each variant once"),
        ({"--out": ["page.txt"]}, "must end in .html"),
        ({"--onnxruntime-web": ["absent"]}, "npm install onnxruntime-web"),
        ({"--onnxruntime-web": ["absent"]}, "npm pack onnxruntime-web"),
    ],
)
def test_command_prints_one_line_for_invalid_options(options, message, dist, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = {"--out": ["page.html"], "--onnxruntime-web": [dist], **options}
    assert page_command(MNIST, *(word for name, values in options.items() for word in (name, *values))) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == [dist]


def test_damaged_bundle_is_refused(dist, tmp_path):
    bundle = shutil.copytree(MNIST, tmp_path / "bundle")
    content = bytearray((bundle / "reference.int8.npz").read_bytes())
    content[1000] ^= 1
    (bundle / "reference.int8.npz").write_bytes(content)
    with pytest.raises(vaedge.BundleError, match="is not the file that was exported"):
        build_page(bundle, dist)


def test_unknown_form_of_onnxruntime_is_refused(dist):
    (dist / "ort.wasm.bundle.min.mjs").write_text("module.exports = 1;")
    with pytest.raises(VaedgeError, match="cannot inline"):
        build_page(MNIST, dist)


def test_page_of_mnist_has_at_most_7_mb():
    if not REAL_DIST.is_dir():
        pytest.skip("the npm packages are missing: run `make setup-web`")
    assert len(build_page(MNIST, REAL_DIST)) <= 7_000_000


def test_tested_release_of_onnxruntime_web_is_the_same_everywhere():
    packages = json.loads((ROOT / "runtime" / "vaedge" / "web" / "package.json").read_text())["devDependencies"]
    assert packages["onnxruntime-web"] == TESTED_RELEASE
    assert f"npm install onnxruntime-web@{TESTED_RELEASE}" in (ROOT / "docs" / "guides" / "web.md").read_text()

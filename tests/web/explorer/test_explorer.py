"""The HTML page of `vaedge page` in headless Chromium: images, tables, conditions, links, and damaged pages."""

import base64
import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import vaedge
from vaedge.web.page import build_page
from vaedge_export import export_vae

ROOT = Path(__file__).parents[3]
DIST = ROOT / "runtime" / "vaedge" / "web" / "node_modules" / "onnxruntime-web" / "dist"
HOSTILE = "<img src=x onerror=alert(1)>"


class Encoder(nn.Module):
    """A linear encoder with conditions."""

    def __init__(self, size):
        super().__init__()
        self.layer = nn.Linear(size + 3, 8)

    def forward(self, x, angle, y):
        values = self.layer(torch.cat([x.flatten(1), angle, y.float()[:, None]], 1))
        return values[:, :4], values[:, 4:].clamp(-30, 20)


class Decoder(nn.Module):
    """A linear decoder with conditions."""

    def __init__(self, shape, heads):
        super().__init__()
        self.shape, self.heads = shape, heads
        self.layer = nn.Linear(4 + 3, heads * int(np.prod(shape)))

    def forward(self, z, angle, y):
        values = self.layer(torch.cat([z, angle, y.float()[:, None]], 1))
        parts = [part.reshape(-1, *self.shape) for part in values.chunk(self.heads, 1)]
        return parts[0] if self.heads == 1 else (parts[0], parts[1].clamp(-6, 10))


def export(out, shape, likelihood, **options):
    """Export a bundle with random weights, two conditions, and a calibration, and return its folder."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.random((60, *shape), np.float32)
    data = {"x": x, "angle": rng.random((60, 2), np.float32), "y": rng.integers(0, 3, 60)}
    classes = (HOSTILE, "\"quoted'", "plain")
    return export_vae(
        *(Encoder(x[0].size).eval(), Decoder(shape, 2 if likelihood == "gaussian" else 1).eval(), out),
        input_shape=shape,
        latent_shape=(4,),
        likelihood=likelihood,
        conditions={"angle": vaedge.Condition("float32", (2,)), "y": vaedge.Condition("int64", (), classes)},
        examples=data,
        calibration=data,
        **options,
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A dict from names to the folders of four bundles.

    "digits" is for gray images. "color" is for color images, and "table" for rows of a table; both have conditions.
    "format 1" has the old bundle format and no reference outputs.
    """
    folder = tmp_path_factory.mktemp("bundles")
    color = export(folder / "color", (3, 12, 12), "continuous_bernoulli", variants=("int8",), allow_loss=100)
    table = export(folder / "table", (5,), "gaussian")
    content = json.loads((table / "manifest.json").read_text())
    content["name"] = HOSTILE
    content["input"]["features"] = [HOSTILE, "weight (kg)", "age", "c", "d"]
    (table / "manifest.json").write_text(json.dumps(content))
    return {
        "digits": ROOT / "models" / "mnist",
        "color": color,
        "table": table,
        "format 1": ROOT / "tests/data/format-1",
    }


@pytest.fixture(scope="module")
def pages(node, bundles, tmp_path_factory):
    """Return a function that takes the name of a bundle, writes its HTML page once, and returns the page's path."""
    folder, variants = tmp_path_factory.mktemp("pages"), {"digits": ["fp32"], "color": ["int8", "fp32"]}

    def write(name):
        path = folder / f"{name}.html"
        if not path.exists():
            path.write_bytes(build_page(bundles[name], DIST, variants.get(name, ())))
        return path

    return write


def test_pages_pass_their_check_without_requests(node, chromium, pages):
    print(node("explorer/opens.mjs", chromium, *map(pages, ("digits", "color", "table", "format 1"))))


def test_samples_and_bounds_are_those_of_python(node, chromium, pages, bundles, tmp_path):
    seed = 123456789012345678901234567890
    vae = vaedge.load(bundles["digits"])
    with np.load(bundles["digits"] / "reference.npz") as reference:
        bound = vae.log_prob(reference["x"][:1], k=16, seed=0)[0]
    images = np.rint(255 * vae.sample(24, seed=seed)).reshape(24, -1).tolist()
    expected = {"seed": str(seed), "images": images, "bound": bound}
    (tmp_path / "expected.json").write_text(json.dumps(expected))
    node("explorer/seeds.mjs", chromium, pages("digits"), tmp_path / "expected.json")


@pytest.mark.parametrize("kind", ["color", "table"])
def test_address_restores_the_state(kind, node, chromium, pages):
    node("explorer/fragment.mjs", chromium, kind, pages(kind))


def test_image_files_are_resized_or_refused(node, chromium, pages, tmp_path):
    exact = np.full((28, 28), 10, np.uint8)
    exact[0, 0] = 200
    Image.fromarray(exact).save(tmp_path / "exact.png")
    Image.fromarray(np.full((30, 40), 90, np.uint8)).save(tmp_path / "larger.png")
    (tmp_path / "text.png").write_text("not an image")
    files = [tmp_path / f"{name}.png" for name in ("exact", "larger", "text")]
    node("explorer/files.mjs", chromium, pages("digits"), *files)


def test_damaged_pages_show_one_message(node, chromium, pages, tmp_path):
    original = pages("digits").read_text()
    block = r'(<script type="text/plain" data-file="{}" data-encoding="\w+">)(.*?)(</script>)'

    def changed(name, change):
        """Return the HTML page with one of its embedded files changed."""
        pattern = re.compile(block.format(re.escape(name)))
        content = change(gzip.decompress(base64.b64decode(pattern.search(original)[2])))
        text = base64.b64encode(gzip.compress(content)).decode()
        return pattern.sub(lambda match: match[1] + text + match[3], original)

    def altered(content):
        return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]

    def newer(content):
        return content.replace(b'"format_version": 2', b'"format_version": 3')

    cases = {
        "altered": (changed("decoder.onnx", altered), "", r"decoder\.onnx is not the file that was exported"),
        "newer": (changed("manifest.json", newer), "", "format version 3"),
        "missing": (re.sub(block.format(r"prior\.npz"), "", original), "", r"prior\.npz is missing"),
        "wasm": (
            re.sub(block.format(r"ort-wasm-simd-threaded\.wasm"), r"\1AAAA\3", original),
            "",
            r"ort-wasm-simd-threaded\.wasm inside this page is damaged or missing; make the page again",
        ),
        "variant": (original, "#variant=int9", 'This page has no variant "int9"; it has fp32. Change #variant='),
    }
    rows = []
    for name, (text, fragment, message) in cases.items():
        (tmp_path / f"{name}.html").write_text(text)
        rows.append([str(tmp_path / f"{name}.html"), fragment, message])
    (tmp_path / "cases.json").write_text(json.dumps(rows))
    node("explorer/failures.mjs", chromium, tmp_path / "cases.json")


def test_different_outputs_fail_the_check(node, chromium, bundles, tmp_path):
    bundle = shutil.copytree(bundles["digits"], tmp_path / "bundle")
    with np.load(bundle / "reference.npz") as reference:
        np.savez(bundle / "reference.npz", **{**reference, "decoded": reference["decoded"] + np.float32(0.01)})
    content = (bundle / "reference.npz").read_bytes()
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["reference.npz"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "page.html").write_bytes(build_page(bundle, DIST, ["fp32"]))
    rows = [
        [str(tmp_path / "page.html"), "", "This browser does not reproduce the reference: fp32: the largest difference"]
    ]
    (tmp_path / "cases.json").write_text(json.dumps(rows))
    node("explorer/failures.mjs", chromium, tmp_path / "cases.json")


def test_ten_thousand_decodes_use_no_more_memory(node, chromium, pages):
    print(node("explorer/memory.mjs", chromium, pages("digits")))

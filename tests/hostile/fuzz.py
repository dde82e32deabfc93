"""Load and run random mutants of a bundle, and print their outcomes: `python -m hostile.fuzz SCRATCH SEED COUNT`.

Each mutant is a small valid bundle in which one file was changed at random. The manifest holds the SHA-256 of the
changed file, because an attacker can compute it.
"""

import collections
import copy
import functools
import hashlib
import json
import random
import struct
import sys
import time
from pathlib import Path

import numpy as np
from memory import peak

import vaedge
from hostile.graphs import graph, model, node, tensor, value
from vaedge.bundle.entries import FileEntry, Variant
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.protobuf import bytes_field
from vaedge.detection.calibration import Calibration
from vaedge.detection.terms import Terms
from vaedge.distributions.prior import Mixture

_INPUT, _LATENT = 6, 2
# The files that are changed. manifest.json and decoder.onnx are chosen twice as often.
_MUTATED = (*("manifest.json", "decoder.onnx") * 2, "encoder.onnx", "prior.npz", "calibration.npz")
_ODD_NUMBERS = (-1, 0, 1, 2**31, 2**63, 2**64, 10**400, 1.5, -1e308, 1e-320, True)
_ODD = (*_ODD_NUMBERS, None, "", "x", "../x", "\0", "\ud800", "é" * 1000, [], {}, [[]], {"x": {}}, [2**40, 2**40])
_ODD_BYTES = (b"\0", b"\xff", b"\x80", b"\x7f", b"\xff" * 9 + b"\x01", struct.pack("<q", 2**62), b"(2,)", b"'|O'")


@functools.cache
def valid_bundle():
    """Return the files of a small valid bundle as a dict from name to content. Return its manifest as a text, too."""
    rng = np.random.default_rng(0)

    def weights(name, *shape):
        return tensor(name, shape, raw=rng.standard_normal(shape, np.float32).tobytes())

    def ends(inputs, outputs):
        parts = [bytes_field(11, value(name, (None, size))) for name, size in inputs]
        return b"".join([*parts, *(bytes_field(12, value(name, (None, size))) for name, size in outputs)])

    to_latent = [node(b"MatMul", (b"x", weight), (end,)) for weight, end in ((b"a", b"mean"), (b"b", b"log_var"))]
    from_latent = [node(b"MatMul", (b"z", weight), (end,)) for weight, end in ((b"c", b"loc"), (b"d", b"log_scale"))]
    from_latent.append(node(b"Sigmoid", (b"loc",), (b"x",)))
    encoder_ends = ends([(b"x", _INPUT)], [(b"mean", _LATENT), (b"log_var", _LATENT)])
    decoder_ends = ends([(b"z", _LATENT)], [(name, _INPUT) for name in (b"x", b"loc", b"log_scale")])
    two = rng.standard_normal((2, _LATENT), np.float32)
    files = {
        "encoder.onnx": model(
            graph(to_latent, [weights(name, _INPUT, _LATENT) for name in (b"a", b"b")], encoder_ends)
        ),
        "decoder.onnx": model(
            graph(from_latent, [weights(name, _LATENT, _INPUT) for name in (b"c", b"d")], decoder_ends)
        ),
        "prior.npz": Mixture.from_parameters(np.log(np.full(2, 0.5, np.float32)), two, two).to_npz(),
        "reference.npz": b"",
    }
    digests = [hashlib.sha256(files[name]).digest() for name in ("encoder.onnx", "decoder.onnx", "prior.npz")]
    terms = Terms(rng.gamma(2, 2, 20), rng.standard_normal(20))
    model_sha256 = hashlib.sha256(b"".join(digests)).hexdigest()
    files["calibration.npz"] = Calibration.fit(terms, np.zeros((4, _INPUT), np.float32), model_sha256, 0).to_npz()
    manifest = Manifest(
        name="small",
        input_shape=(_INPUT,),
        input_range=(0, 1),
        encoding="uint8",
        features=tuple("abcdef"),
        latent_shape=(_LATENT,),
        likelihood="gaussian",
        parameters=("loc", "log_scale"),
        log_scale_range=(-6, 10),
        prior="mixture",
        prior_file="prior.npz",
        variants={"fp32": Variant("encoder.onnx", "decoder.onnx", 20, 10, "reference.npz", "calibration.npz")},
        files={name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()},
        minimum_onnxruntime="1.24",
    )
    return files, manifest.to_json()


def changed_bytes(rng, content):
    """Return `content` with bytes changed, deleted, repeated or inserted at one, two or four random positions."""
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(result) + 1)
        end = min(len(result), at + rng.choice((1, 1, 2, 8, 40)))
        operation = rng.randrange(6)
        if operation == 0 and at < len(result):
            result[at] ^= 1 << rng.randrange(8)
        elif operation == 1 and at < len(result):
            result[at] = rng.randrange(256)
        elif operation == 2:
            del result[at:end]
        elif operation == 3:
            result[at:at] = result[at:end] * rng.choice((1, 1, 3))
        elif operation == 4:
            result[at:at] = rng.choice(_ODD_BYTES)
        else:
            other = rng.randrange(len(result) + 1)
            result[at:end] = result[other : other + end - at]
    return bytes(result)


def changed_tree(rng, tree):
    """Make one or two random changes to a parsed JSON text: set an unexpected value, or remove or add a field."""
    for _ in range(rng.choice((1, 1, 2))):
        place, parent, key = tree, None, None
        while isinstance(place, dict | list) and place and (parent is None or rng.random() < 0.8):
            parent, key = place, rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            place = parent[key]
        if parent is None:
            continue
        operation = rng.random()
        if operation < 0.15:
            del parent[key]
        elif operation < 0.3 and isinstance(parent, dict):
            parent[rng.choice(("x", key + "x", "../x", "\0"))] = place
        elif operation < 0.4 and isinstance(place, str) and place:
            parent[key] = changed_bytes(rng, place.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
        elif operation < 0.5 and isinstance(place, int | float):
            parent[key] = place + rng.choice((-1, 1, 2**32))
        else:
            parent[key] = copy.deepcopy(rng.choice(_ODD))
    return tree


def write_mutant(folder, seed):
    """Write a bundle with one randomly changed file to `folder`, and return the name of the changed file."""
    rng = random.Random(seed)
    files, text = valid_bundle()
    files, tree = dict(files), json.loads(text)
    name = rng.choice(_MUTATED)
    if name == "manifest.json":
        text = json.dumps(changed_tree(rng, tree)).encode()
        text = changed_bytes(rng, text) if rng.random() < 0.3 else text
    else:
        files[name] = changed_bytes(rng, files[name])
        if name != "calibration.npz":  # the calibration would not match a changed graph or prior
            del tree["variants"]["fp32"]["calibration"]
        tree["files"][name] = {"sha256": hashlib.sha256(files[name]).hexdigest(), "bytes": len(files[name])}
        text = json.dumps(tree).encode()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    (folder / "manifest.json").write_bytes(text)
    return name


def use(folder):
    """Load a bundle and call the methods of its VAE."""
    vae = vaedge.load(folder, threads=1)
    if np.prod(vae.input_shape) * np.prod(vae.latent_shape) > 10_000:
        return
    conditions = {
        name: np.zeros(condition.shape, condition.dtype) for name, condition in vae.manifest.conditions.items()
    }
    low = vae.manifest.input_range[0] if vae.manifest.input_range else 0
    x = np.full((3, *vae.input_shape), low, np.float32)
    vae.sample(3, seed=0, conditions=conditions)
    vae.reconstruct(x, conditions=conditions)
    vae.reconstruct(x, sample=True, seed=0, conditions=conditions)
    vae.sample(3, seed=0, draw=True, conditions=conditions)
    if vae.manifest.encoding is not None:
        vae.encode(np.full(x.shape, 200, np.uint8), conditions=conditions)
    vae.log_prob(x, k=2, seed=0, conditions=conditions)
    if vae.calibration is not None:
        vae.detect(x, false_alarm_rate=0.5, maps=True, conditions=conditions)


def main(folder, seed, count):
    """Load and run the mutants with the seeds from `seed` to `seed + count - 1`, and print the outcomes.

    Any error except VaedgeError ends the program.
    """
    files, text = valid_bundle()
    for name, content in {**files, "manifest.json": text.encode()}.items():
        (folder / name).write_bytes(content)
    use(folder)
    idle = peak()
    outcomes: collections.Counter[str] = collections.Counter()
    slowest = 0.0, seed
    for number in range(seed, seed + count):
        name = write_mutant(folder, number)
        began = time.process_time()
        try:
            use(folder)
            outcome = "accepted"
        except vaedge.VaedgeError as error:
            outcome = type(error).__name__
            str(error).encode()
        except BaseException:
            print(f"mutant {number} of {name}:", file=sys.stderr)
            raise
        outcomes[f"{name}: {outcome}"] += 1
        slowest = max(slowest, (time.process_time() - began, number))
    more = (peak() - idle) / 2**20
    print(json.dumps({"outcomes": outcomes, "slowest": slowest, "megabytes": more}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

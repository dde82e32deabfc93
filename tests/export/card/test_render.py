"""The text of the model card."""

import dataclasses
import importlib.resources
import re

import pytest

import vaedge
from vaedge.bundle.entries import FileEntry
from vaedge_export.card import render
from vaedge_export.card.render import render_card
from vaedge_train.model.likelihoods import LIKELIHOODS


@pytest.fixture(scope="module")
def manifest(bundle):
    return vaedge.load(bundle).manifest


def section(card, title):
    return re.search(rf"^## {title}\n\n(.*?)(?=\n\n## |\Z)", card, re.DOTALL | re.MULTILINE)[1]


def test_card_starts_with_name_shapes_prior_and_likelihood(manifest):
    first, description = render_card(manifest, []).split("\n\n")[:2]
    assert first == "# bundle"
    assert description == (
        "A variational autoencoder as two ONNX graphs. It encodes examples of shape 1 x 4 x 4 into latents of shape 3. "
        "Prior: standard normal. p(x|z): Bernoulli, for binary values."
    )


def test_every_likelihood_of_training_has_a_description():
    assert render._LIKELIHOODS.keys() == LIKELIHOODS.keys()


def test_images_are_shown_only_if_they_exist(manifest):
    assert "![" not in render_card(manifest, [])
    shown = render_card(manifest, ["samples.png", "traverse.png"])
    assert re.findall(r"!\[.*?\]\((.*?)\)", shown) == ["samples.png", "traverse.png"]
    assert "(reconstructions.png)" in render_card(manifest, ["reconstructions.png"])


def test_code_of_the_card_is_valid_and_gives_each_condition(manifest):
    conditions = {"y": vaedge.Condition("int64", (), ("a", "b")), "angle": vaedge.Condition("float32", (1, 2))}
    card = render_card(dataclasses.replace(manifest, conditions=conditions), [])
    code = section(card, "Use").removeprefix("```python\n").removesuffix("\n```")
    compile(code, "card", "exec")
    assert 'x = vae.sample(64, seed=0, conditions={"y": 0, "angle": [[0, 0]]})' in code
    assert "x = vae.sample(64, seed=0)\n" in render_card(manifest, [])


def test_table_lists_every_tensor_in_order(manifest):
    conditions = {"y": vaedge.Condition("int64", (), ("a", "b"))}
    rows = section(render_card(dataclasses.replace(manifest, conditions=conditions), []), "Graphs").splitlines()[2:11]
    assert rows[:7] == [
        "| encoder | in | `x` | batch x 1 x 4 x 4 | data, values in [0, 1] |",
        "| encoder | in | `y` | batch | condition, int64: 0 to 1, a, b |",
        r"| encoder | out | `mean` | batch x 3 | mean of q(z\|x) |",
        r"| encoder | out | `log_var` | batch x 3 | log sigma^2 of q(z\|x) |",
        "| decoder | in | `z` | batch x 3 | latent |",
        "| decoder | in | `y` | batch | condition, int64: 0 to 1, a, b |",
        r"| decoder | out | `x` | batch x 1 x 4 x 4 | mean of p(x\|z), in the units of the data |",
    ]
    assert rows[7] == r"| decoder | out | `logits` | batch x 1 x 4 x 4 | parameter of p(x\|z) |"


def test_range_is_left_out_where_all_values_are_allowed(manifest):
    assert "| data |" in render_card(dataclasses.replace(manifest, input_range=None), [])


def test_table_lists_every_graph_file_with_its_size(manifest):
    files = {name: FileEntry("", 1234) for name in manifest.files} | {"prior.npz": FileEntry("", 5)}
    card = render_card(dataclasses.replace(manifest, files=files, prior="mixture", prior_file="prior.npz"), [])
    assert section(card, "Graphs").splitlines()[-5:] == [
        "| fp32 | `encoder.onnx` | 1,234 | 20 |",
        "| fp32 | `decoder.onnx` | 1,234 | 20 |",
        "| fp32, fixed batch | `decoder.batch4.onnx` | 1,234 | |",
        "| fp32, fixed batch | `encoder.batch4.onnx` | 1,234 | |",
        "| all | `prior.npz` | 5 | |",
    ]


MEASURED = {
    "bytes": 1000,
    "elbo_change": 0.0,
    "elbo_change_standard_error": 0.0,
    "bound_change": 0.0,
    "psnr": None,
    "microseconds": {"1": 10.4, "64": 99.6},
    "kept": [],
    "items": 500,
    "k": 16,
    "processor": "a CPU",
    "threads": 2,
}


def test_variants_are_compared_in_a_table(manifest):
    int8 = {
        **MEASURED,
        "bytes": 250,
        "elbo_change": -0.25,
        "bound_change": 0.125,
        "psnr": 39.75,
        "kept": ["encoder: a"],
    }
    fp32, name = manifest.variants["fp32"], "encoder.onnx"
    variants = {
        "fp32": dataclasses.replace(fp32, measured=MEASURED),
        "int8": dataclasses.replace(fp32, encoder=name, decoder=name, measured=int8),
    }
    text = section(render_card(dataclasses.replace(manifest, variants=variants), []), "Variants")
    assert text.startswith("All variants are measured on the same 500 examples with the same noise and k = 16 draws")
    assert "with 2 threads on a CPU. int8 results" in text
    assert text.splitlines()[2:] == [
        "| variant | bytes | ELBO | bound | PSNR | batch 1 | batch 64 |",
        "|---|---|---|---|---|---|---|",
        "| fp32 | 1,000 | | | | 10 | 100 |",
        "| int8 | 250 | -0.250 +- 0.000 | +0.125 | 39.8 | 10 | 100 |",
        "",
        "int8 keeps these layers in float32, because the loss would otherwise exceed the budget: encoder: a.",
    ]
    kernels = {"fp32": dataclasses.replace(fp32, measured={**MEASURED, "int8_kernels": "default"})}
    assert "on a CPU, with ONNX Runtime's default 8-bit kernels. int8" in render_card(
        dataclasses.replace(manifest, variants=kernels), []
    )


DETECTION = {
    "fit": 1000,
    "calibration": 2000,
    "evaluation": 2000,
    "seed": 0,
    "false_alarms": {
        "0.1": {"rate": 0.0985, "standard_error": 0.00949},
        "0.001": {"rate": 0.0, "standard_error": 0.001},
    },
}


def test_detection_is_described_with_measured_false_alarms(manifest):
    fp32 = manifest.variants["fp32"]
    compared = {**DETECTION, "differs_from_fp32": 0.0025, "differs_at": 0.01}
    variants = {
        "fp32": dataclasses.replace(fp32, measured={"detection": DETECTION}),
        "int8": dataclasses.replace(fp32, measured={"detection": compared}),
    }
    text = section(render_card(dataclasses.replace(manifest, variants=variants), []), "Anomaly detection")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    compile(code, "card", "exec")
    assert "vae.detect(x, false_alarm_rate=0.1)" in code  # the rate 0.01 was not measured
    assert (
        "5,000 normal examples, divided at random with seed 0: 1,000 fit the score, 2,000 calibrate, and 2,000 measure "
        "the false-alarm rate." in text
    )
    assert "false-alarm rates of at least 1/2001." in text
    assert "whose decision at 1 % differs from that of fp32, at batch size 64." in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows == [
        "| variant | 10 % | 0.1 % | different decisions |",
        "|---|---|---|---|",
        "| fp32 | 9.85 % +- 0.95 % | 0.00 % +- 0.10 % | |",
        "| int8 | 9.85 % +- 0.95 % | 0.00 % +- 0.10 % | 0.25 % |",
    ]
    assert "![" not in text
    del variants["int8"]
    text = section(
        render_card(dataclasses.replace(manifest, variants=variants), ["detection.png"]), "Anomaly detection"
    )
    assert "| variant | 10 % | 0.1 % |\n|---|---|---|\n| fp32 |" in text
    assert "differs from that of fp32" not in text
    assert "thresholds" not in text
    assert "A vertical line marks the threshold" in text


def test_card_without_a_calibration_has_no_section_about_detection(manifest):
    assert "nomaly" not in render_card(manifest, [])


def test_metrics_are_in_nats_and_cells_are_escaped(manifest):
    metrics = {"test_elbo": -1.23456, "measured_on": "p(x|z)", "count": 3}
    text = section(render_card(dataclasses.replace(manifest, metrics=metrics), []), "Metrics")
    assert text.splitlines()[2:] == [
        "| test elbo | -1.235 nats per example |",
        r"| measured on | p(x\|z) |",
        "| count | 3 |",
    ]


def test_training_section_prints_the_commands(manifest):
    training = {"command": "vaedge train", "export": "vaedge export 'a & b'", "seconds": 90, "note": "A note."}
    text = section(render_card(dataclasses.replace(manifest, training=training), []), "Training")
    commands = "```sh\nvaedge train\nvaedge export 'a & b'\n```"
    assert text == f"{commands}\n\nTraining took 1.5 minutes.\n\nA note."
    text = section(render_card(dataclasses.replace(manifest, training={"command": "vaedge train"}), []), "Training")
    assert text == "```sh\nvaedge train\n```"


def test_sections_without_content_are_left_out(manifest):
    card = render_card(manifest, [])
    assert re.findall("^## (.*)$", card, re.MULTILINE) == ["Use", "Graphs", "Verification", "Limits"]
    assert "\n\n\n" not in card
    assert card.endswith(".\n")
    assert not card.endswith("\n\n")


def test_verification_is_reported_for_each_output(manifest):
    report = {
        "tolerance": 1e-5,
        "batches": [1, 2],
        "inputs": "examples",
        "denormal_weights_set_to_zero": 3,
        "differences": {"mean": {"absolute": 2e-6, "scaled": 1e-6, "magnitude": 13.57}},
    }
    text = section(render_card(dataclasses.replace(manifest, verification=report), []), "Verification")
    assert "at batch sizes 1, 2, on examples. The allowed difference relative to max(1, |value|) is 1e-05." in text
    assert "Number of denormal weights that were set to zero: 3." in text
    assert "| `mean` | 2.0e-06 | 1.0e-06 | 13.6 |" in text


def test_template_is_package_data():
    assert importlib.resources.files("vaedge_export").joinpath("card/card.md.jinja").is_file()

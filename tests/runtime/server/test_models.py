"""Each model returns the same results as the corresponding method of VAE."""

import asyncio
import copy

import numpy as np
import pytest

import vaedge
from vaedge.server import create_app
from vaedge.server.limits import Limits
from vaedge.server.models import models_of

rng = np.random.default_rng(0)
X = rng.integers(0, 2, (3, 1, 28, 28)).astype(np.float32)
Z = rng.standard_normal((3, 40)).astype(np.float32)


@pytest.fixture(params=[True, False], ids=["binary", "json"])
def binary(request):
    return request.param


@pytest.fixture(scope="module")
def small(mnist):
    return create_app([mnist], limits=Limits(result_bytes=10 * 3136, draws=100))


@pytest.mark.parametrize(("device", "joins"), [("cpu", True), ("cuda:0", False)])
def test_calls_are_joined_on_the_cpu_only(mnist, device, joins):
    """A GPU rounds differently for each batch size, so the results of joined calls would not be exactly the same."""
    vae = copy.copy(mnist)
    vae.device = device
    models = models_of([vae], Limits())
    assert models["mnist.decode"].joins == joins
    assert not models["mnist.log_prob"].joins


def test_encode_equals_the_method(app, client, mnist, binary):
    found = client.infer(app, "mnist.encode", {"x": X}, binary=binary).arrays()
    expected = mnist.encode(X)
    np.testing.assert_array_equal(found["mean"], expected.mean)
    np.testing.assert_array_equal(found["log_var"], expected.log_var)


def test_decode_and_reconstruct_equal_the_methods(app, client, mnist, binary):
    found = client.infer(app, "mnist.decode", {"z": Z}, binary=binary).arrays()
    np.testing.assert_array_equal(found["x"], mnist.decode(Z))
    found = client.infer(app, "mnist.reconstruct", {"x": X}, binary=binary).arrays()
    np.testing.assert_array_equal(found["reconstruction"], mnist.reconstruct(X))


@pytest.mark.parametrize("seed", [0, 7, 2**70, str(2**70)])
def test_sample_equals_the_method(app, client, mnist, seed):
    for draw in (False, True):
        parameters = {"seed": seed, "draw": draw}
        found = client.infer(app, "mnist.sample", {"n": np.array([5])}, parameters).arrays()
        np.testing.assert_array_equal(found["x"], mnist.sample(5, seed=int(seed), draw=draw))


def test_samples_without_a_seed_differ(app, client):
    first, second = (client.infer(app, "mnist.sample", {"n": np.array([1])}).arrays()["x"] for _ in range(2))
    assert not np.array_equal(first, second)


def test_draws_of_reconstruct_and_log_prob_equal_the_methods(app, client, mnist):
    found = client.infer(app, "mnist.reconstruct", {"x": X}, {"draw": True, "seed": 3}).arrays()
    np.testing.assert_array_equal(found["reconstruction"], mnist.reconstruct(X, draw=True, seed=3))
    found = client.infer(app, "mnist.log_prob", {"x": X}, {"k": 7, "seed": 3}).arrays()
    np.testing.assert_array_equal(found["log_prob"], mnist.log_prob(X, k=7, seed=3))


@pytest.mark.parametrize("maps", [True, False])
def test_detect_equals_the_method(client, calibrated, maps, binary):
    parameters = {"false_alarm_rate": 0.2, "maps": maps}
    found = client.infer(create_app([calibrated]), "mnist.detect", {"x": X}, parameters, binary=binary).arrays()
    expected = calibrated.detect(X, false_alarm_rate=0.2, maps=maps)
    assert list(found) == ["score", "p_value", "is_anomaly"] + ["maps"] * maps
    for name, array in found.items():
        np.testing.assert_array_equal(array, getattr(expected, name))


def test_maps_of_detect_can_be_the_only_output(client, calibrated):
    answer = client.infer(
        create_app([calibrated]),
        "mnist.detect",
        {"x": X},
        {"false_alarm_rate": 0.2, "maps": True},
        outputs=[{"name": "maps"}],
    )
    assert list(answer.arrays()) == ["maps"]


def test_maps_count_as_a_part_of_the_result(client, calibrated):
    app = create_app([calibrated], limits=Limits(result_bytes=2 * (3136 + 13)))
    answer = client.infer(app, "mnist.detect", {"x": X}, {"maps": True})
    assert (answer.status, "send at most 2 rows" in answer.json["error"]) == (413, True)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, 'the output "maps" was requested without the parameter "maps"'),
        ({"maps": False}, 'the output "maps" was requested without the parameter "maps"'),
        ({"maps": 1}, "maps must be true or false"),
    ],
)
def test_output_maps_needs_the_parameter_maps(client, calibrated, parameters, message):
    answer = client.infer(create_app([calibrated]), "mnist.detect", {"x": X}, parameters, outputs=[{"name": "maps"}])
    assert answer.status == 400
    assert message in answer.json["error"]


def test_metadata_has_the_largest_number_of_rows(client, small):
    rows = {
        name: client.ask(small, "GET", f"/v2/models/mnist.{name}").json["parameters"]["max_rows"]
        for name in ("decode", "log_prob")
    }
    assert rows == {"decode": 10, "log_prob": 100}


def test_detect_exists_only_with_a_calibration(app, client, calibrated):
    for answer in (client.infer(app, "mnist.detect", {"x": X}), client.ask(app, "GET", "/v2/models/mnist.detect")):
        assert answer.status == 404
        assert answer.json["error"].startswith(
            "mnist has no detect, because its variant fp32 has no calibration; serve a bundle from vaedge export "
        )
    assert client.ask(create_app([calibrated]), "GET", "/v2/models/mnist.detect").status == 200


def test_log_prob_exists_only_with_a_normalized_likelihood(client, bundle):
    app = create_app([vaedge.load(bundle, threads=1)])
    answer = client.infer(app, "article.log_prob", {"x": X})
    assert answer.status == 404
    assert answer.json["error"].startswith("article has no log_prob, because its likelihood bce_surrogate is not a ")


@pytest.mark.parametrize("values", [np.array([0, 2]), np.array(["red, dark", "green"]), np.array("blue")])
def test_conditions_are_inputs(app, client, table, values, binary):
    z = np.array([[1, 2], [3, 4]], np.float32)
    found = client.infer(app, "table.decode", {"z": z, "y": values}, binary=binary).arrays()
    np.testing.assert_array_equal(found["x"], table.decode(z, y=values))
    found = client.infer(app, "table.sample", {"n": np.array([2]), "y": values}, {"seed": 1}, binary=binary).arrays()
    np.testing.assert_array_equal(found["x"], table.sample(2, seed=1, y=values))


def test_uint8_inputs_follow_the_encoding(client, bundle, binary):
    vae = vaedge.load(bundle.parent / "mnist-conv", threads=1)
    x = np.random.default_rng(0).integers(0, 256, (1, 1, 28, 28)).astype(np.uint8)
    found = client.infer(create_app([vae]), "mnist-conv.encode", {"x": x}, binary=binary).arrays()
    np.testing.assert_array_equal(found["mean"], vae.encode(x).mean)


def test_results_of_int8_do_not_depend_on_joined_requests(client, bundle):
    vae = vaedge.load(bundle.parent / "mnist", threads=1, variant="int8")
    app = create_app([vae])

    async def all_at_once():
        return await asyncio.gather(*(client.infer_async(app, "mnist.decode", {"z": z[None]}) for z in Z))

    for z, answer in zip(Z, asyncio.run(all_at_once()), strict=True):
        np.testing.assert_array_equal(answer.arrays()["x"], vae.decode(z[None]))


@pytest.mark.parametrize(
    ("model", "inputs", "parameters", "message"),
    [
        ("mnist.decode", {"z": Z[:, :3]}, {}, "z has shape (3, 3); expected (n, 40)"),
        ("mnist.decode", {"z": Z[0]}, {}, "for a single example"),
        ("mnist.decode", {"z": Z * np.nan}, {}, "NaN or infinity in example 0"),
        ("mnist.decode", {"z": Z * np.float32(1e30)}, {}, "the model takes -1e+06 to 1e+06"),
        ("mnist.decode", {"z": Z[:0]}, {}, "empty batch"),
        ("mnist.decode", {"x": X}, {}, "mnist.decode takes z"),
        ("mnist.decode", {"z": Z, "y": Z}, {}, "mnist.decode takes z"),
        ("mnist.decode", {"z": Z}, {"seed": 1}, "unknown parameters: seed"),
        ("mnist.encode", {"x": X + 2}, {}, "the model takes 0 to 1"),
        ("mnist.sample", {"n": np.array([0])}, {}, "n is 0; expected an integer from 1 to 10"),
        ("mnist.sample", {"n": np.array([11])}, {}, "n is 11; expected an integer from 1 to 10"),
        ("mnist.sample", {"n": np.array([1, 2])}, {}, "n must be INT64 of shape [1], got int64 of shape [2]"),
        ("mnist.sample", {"n": np.array([1.0])}, {}, "n must be INT64 of shape [1]"),
        ("mnist.sample", {"n": np.array([1])}, {"seed": -1}, "seed is -1"),
        ("mnist.sample", {"n": np.array([1])}, {"seed": "x"}, "seed is 'x'"),
        ("mnist.sample", {"n": np.array([1])}, {"seed": True}, "seed is True"),
        ("mnist.sample", {"n": np.array([1])}, {"draw": 1}, "draw must be true or false"),
        ("mnist.reconstruct", {"x": X}, {"seed": 1}, "a seed was given"),
        ("mnist.log_prob", {"x": X}, {"k": 34}, "k is 34; expected an integer from 1 to 33"),
        ("mnist.log_prob", {"x": X}, {"k": "7"}, "k is '7'"),
    ],
)
def test_invalid_values_are_refused(small, client, model, inputs, parameters, message):
    answer = client.infer(small, model, inputs, parameters)
    assert answer.status == 400
    assert message in answer.json["error"]


def test_requests_with_too_many_rows_are_refused(small, client):
    answer = client.infer(small, "mnist.decode", {"z": np.zeros((11, 40), np.float32)})
    assert (answer.status, answer.json["error"]) == (
        413,
        "the request has 11 rows; send at most 10 rows per request",
    )


def test_bundles_with_the_same_name_are_refused(mnist):
    with pytest.raises(vaedge.InputError, match="two bundles have the name 'mnist'"):
        create_app([mnist, mnist])

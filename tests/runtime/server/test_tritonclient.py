"""Test the server with Triton's client for HTTP."""

import asyncio

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as asynchronous
from tritonclient.utils import InferenceServerException

X = np.random.default_rng(0).integers(0, 2, (3, 1, 28, 28)).astype(np.float32)


@pytest.fixture
def connected(address):
    with triton.InferenceServerClient(address, concurrency=4) as connected:
        yield connected


def inputs(*, binary, **arrays):
    found = []
    for name, array in arrays.items():
        kind = {"f": "FP32", "i": "INT64", "u": "UINT8", "O": "BYTES"}[array.dtype.kind]
        found.append(triton.InferInput(name, list(array.shape), kind))
        found[-1].set_data_from_numpy(array, binary_data=binary)
    return found


def test_client_reads_health_and_metadata(connected):
    assert connected.is_server_live()
    assert connected.is_server_ready()
    assert connected.is_model_ready("mnist.encode")
    assert connected.is_model_ready("mnist.encode", "1")
    assert not connected.is_model_ready("other")
    assert connected.get_server_metadata()["name"] == "vaedge"
    assert connected.get_model_metadata("mnist.encode")["versions"] == ["1"]
    assert "mnist.decode" in {entry["name"] for entry in connected.get_model_repository_index()}


@pytest.mark.parametrize("binary", [True, False])
def test_client_infers(connected, mnist, binary):
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("log_var", "mean")]
    result = connected.infer("mnist.encode", inputs(binary=binary, x=X), outputs=outputs, request_id="7")
    np.testing.assert_array_equal(result.as_numpy("mean"), mnist.encode(X).mean)
    np.testing.assert_array_equal(result.as_numpy("log_var"), mnist.encode(X).log_var)
    assert result.get_response()["id"] == "7"


def test_client_receives_all_outputs_by_default(connected, mnist):
    result = connected.infer("mnist.sample", inputs(binary=True, n=np.array([4])), parameters={"seed": 5})
    np.testing.assert_array_equal(result.as_numpy("x"), mnist.sample(4, seed=5))


@pytest.mark.parametrize("binary", [True, False])
def test_client_sends_names_of_classes(connected, table, binary):
    z = np.ones((2, 2), np.float32)
    names = np.array(["green", "red, dark"], object)
    result = connected.infer("table.decode", inputs(binary=binary, z=z, y=names))
    np.testing.assert_array_equal(result.as_numpy("x"), table.decode(z, y=["green", "red, dark"]))


def test_client_infers_asynchronously(connected, mnist):
    latents = [np.full((1, 40), value, np.float32) for value in range(8)]
    started = [connected.async_infer("mnist.decode", inputs(binary=True, z=z)) for z in latents]
    for z, request in zip(latents, started, strict=True):
        np.testing.assert_array_equal(request.get_result().as_numpy("x"), mnist.decode(z))


def test_client_shows_errors(connected):
    with pytest.raises(InferenceServerException, match=r"z has shape \(1, 3\)") as error:
        connected.infer("mnist.decode", inputs(binary=True, z=np.zeros((1, 3), np.float32)))
    assert error.value.status() == "400"
    with pytest.raises(InferenceServerException, match="unknown model") as error:
        connected.infer("other", inputs(binary=True, z=np.zeros((1, 3), np.float32)))
    assert error.value.status() == "404"


def test_client_continues_after_a_body_that_is_too_large(connected, mnist):
    large = np.zeros((2**23,), np.float32)
    with pytest.raises(InferenceServerException, match="more than 16,777,216 bytes") as error:
        connected.infer("mnist.decode", inputs(binary=True, z=large))
    assert error.value.status() == "413"
    result = connected.infer("mnist.decode", inputs(binary=True, z=np.zeros((1, 40), np.float32)))
    assert result.as_numpy("x").shape == (1, 1, 28, 28)


def test_client_reads_the_repository_index(connected, mnist):
    index = {entry["name"]: entry for entry in connected.get_model_repository_index()}
    assert index["mnist.decode"] == {"name": "mnist.decode", "version": "1", "state": "READY", "reason": ""}
    metadata = connected.get_model_metadata("mnist.decode", "1")
    assert metadata["inputs"] == [{"name": "z", "datatype": "FP32", "shape": [-1, 40]}]
    assert metadata["outputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 1, 28, 28]}]
    assert metadata["parameters"]["sha256"] == mnist.sha256
    with pytest.raises(InferenceServerException, match="unknown version of mnist.decode.*expected version 1") as error:
        connected.get_model_metadata("mnist.decode", "2")
    assert error.value.status() == "404"


def test_client_requests_one_output_as_json_and_one_as_binary(connected, mnist):
    outputs = [triton.InferRequestedOutput(name, binary_data=name == "mean") for name in ("mean", "log_var")]
    result = connected.infer("mnist.encode", inputs(binary=True, x=X), outputs=outputs)
    np.testing.assert_array_equal(result.as_numpy("mean"), mnist.encode(X).mean)
    np.testing.assert_array_equal(result.as_numpy("log_var"), mnist.encode(X).log_var)
    assert "data" not in result.get_output("mean")
    assert "data" in result.get_output("log_var")


def test_client_shows_errors_of_asynchronous_calls(connected):
    request = connected.async_infer("mnist.decode", inputs(binary=True, z=np.zeros((1, 3), np.float32)))
    with pytest.raises(InferenceServerException, match=r"z has shape \(1, 3\)") as error:
        request.get_result()
    assert error.value.status() == "400"


def test_client_of_asyncio_infers(address, mnist):
    z = np.random.default_rng(0).standard_normal((2, 40)).astype(np.float32)

    async def infer():
        async with asynchronous.InferenceServerClient(address) as connected:
            assert await connected.is_server_ready()
            good = await connected.infer("mnist.decode", inputs(binary=True, z=z))
            with pytest.raises(InferenceServerException, match=r"z has shape \(2, 3\)") as error:
                await connected.infer("mnist.decode", inputs(binary=True, z=z[:, :3].copy()))
            return good.as_numpy("x"), error.value.status()

    found, status = asyncio.run(infer())
    np.testing.assert_array_equal(found, mnist.decode(z))
    assert status == "400"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_client_shows_that_compressed_requests_are_refused(connected, algorithm):
    z = inputs(binary=True, z=np.zeros((1, 40), np.float32))
    with pytest.raises(InferenceServerException, match="send it without Content-Encoding") as error:
        connected.infer("mnist.decode", z, request_compression_algorithm=algorithm)
    assert error.value.status() == "415"
    assert connected.infer("mnist.decode", z).as_numpy("x").shape == (1, 1, 28, 28)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_client_that_accepts_compressed_responses_reads_plain_ones(connected, mnist, algorithm):
    z = np.zeros((1, 40), np.float32)
    result = connected.infer("mnist.decode", inputs(binary=True, z=z), response_compression_algorithm=algorithm)
    np.testing.assert_array_equal(result.as_numpy("x"), mnist.decode(z))

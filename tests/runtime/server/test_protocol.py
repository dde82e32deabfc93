"""Messages that do not follow the protocol are refused, and outputs are written as requested."""

import json

import numpy as np
import pytest

PATH = "/v2/models/mnist.decode/infer"
Z = np.random.default_rng(0).standard_normal((1, 40)).astype(np.float32)
ENTRY = {"name": "z", "shape": [1, 40], "datatype": "FP32"}
DATA = {**ENTRY, "data": Z.ravel().tolist()}
BINARY = {**ENTRY, "parameters": {"binary_data_size": 160}}


def request(**changes):
    return json.dumps({"inputs": [DATA], **changes}).encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "the request is not a JSON object"),
        (b"{}", "inputs given: no inputs"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"inputs":[{"name":"z","shape":[1,40],"datatype":"FP32","data":[NaN]}]}', "NaN is not a JSON number"),
        (b'{"id":' + b"1" * 5000 + b"}", "not JSON"),
        (request(seed=3), "unknown keys in the request: seed; expected id, parameters, inputs, outputs; write"),
        (request(params={}, k=1), "unknown keys in the request: k, params; expected id"),
        (request(**{"a" * 5000: 1}), "unknown keys in the request: aaa"),
        (request(id=3), "id is not a JSON string"),
        (request(parameters=[]), "parameters is not a JSON object"),
        (request(parameters={"binary_data_output": 1}), "binary_data_output must be true or false"),
        (request(inputs={}), "inputs is not a JSON array"),
        (request(inputs=[1]), "an entry of inputs is not a JSON object"),
        (request(inputs=[DATA, DATA]), "z occurs twice"),
        (request(inputs=[{**DATA, "name": ""}]), "must have a name of 1 to 100 characters"),
        (request(inputs=[{**DATA, "name": "a" * 101}]), "must have a name of 1 to 100 characters"),
        (request(inputs=[ENTRY]), "z: data is None; expected an array"),
        (request(inputs=[{**DATA, "datatype": "FP31"}]), "z: datatype is 'FP31'; expected one of"),
        (request(inputs=[{**DATA, "datatype": []}]), "z: datatype is []"),
        (request(inputs=[{**DATA, "shape": [1, 41]}]), "z: data has 40 elements; the shape [1, 41] needs 41"),
        (request(inputs=[{**DATA, "shape": [-1, -40]}]), "z: shape is [-1, -40]"),
        (request(inputs=[{**DATA, "shape": [True, 40]}]), "z: shape is [True, 40]"),
        (request(inputs=[{**DATA, "shape": [2**70, 2**70]}]), "z: data has 40 elements"),
        (request(inputs=[{**DATA, "shape": [1] * 16 + [40]}]), "z: shape is [1, 1, 1"),
        (request(inputs=[{**DATA, "data": [[0.0] * 39, [0.0, 1.0]]}]), "z: data has 2 elements"),
        (request(inputs=[{**DATA, "data": ["1"] * 40}]), "values of the datatype FP32"),
        (request(inputs=[{**DATA, "data": [True] * 40}]), "values of the datatype FP32"),
        (request(inputs=[{**DATA, "data": [None] * 40}]), "values of the datatype FP32"),
        (request(inputs=[{**DATA, "data": [10**400] * 40}]), "a number outside the range of FP32"),
        (request(inputs=[{**DATA, "datatype": "UINT8", "data": [256] * 40}]), "a number outside the range of UINT8"),
        (request(inputs=[{**DATA, "datatype": "INT64", "data": [0] * 40}]), "z is an array of int64"),
        (request(inputs=[{**DATA, "datatype": "BYTES"}]), "expected a string"),
        (request(inputs=[{**DATA, "parameters": {"binary_data_size": 160}}]), "both data and binary_data_size"),
        (request(inputs=[BINARY]), "z: binary_data_size is 160, but only 0 bytes of the body are left"),
        (request(outputs=[{"name": "y"}]), "unknown outputs: y; this model has x"),
        (request(outputs=[{"name": "x", "parameters": {"classification": 3}}]), "the only parameter of an output"),
        (request(outputs=[{"name": "x", "parameters": {"binary_data": 1}}]), "binary_data must be true or false"),
    ],
)
def test_invalid_json_requests_are_refused(app, client, body, message):
    answer = client.ask(app, "POST", PATH, body)
    assert (answer.status, answer.headers[b"content-type"]) == (400, b"application/json")
    assert message in answer.json["error"]
    assert len(answer.body) < 1000


@pytest.mark.parametrize(
    ("entry", "content", "message"),
    [
        (BINARY, Z.tobytes()[:-1], "but only 159 bytes of the body are left"),
        (BINARY, Z.tobytes() + b"0", "1 bytes after the last input"),
        ({**BINARY, "parameters": {"binary_data_size": 156}}, Z.tobytes(), "FP32 of shape [1, 40] has 160 bytes"),
        ({**BINARY, "parameters": {"binary_data_size": -160}}, Z.tobytes(), "binary_data_size is -160"),
        ({**BINARY, "parameters": {"binary_data_size": "160"}}, Z.tobytes(), "binary_data_size is '160'"),
        ({**BINARY, "datatype": "FP64"}, Z.tobytes(), "FP64 of shape [1, 40] has 320 bytes"),
        ({**BINARY, "datatype": "BYTES"}, b"\xff" * 160, "must have 40 elements"),
        ({**BINARY, "shape": [0, 40]}, Z.tobytes(), "FP32 of shape [0, 40] has 0 bytes"),
    ],
)
def test_invalid_binary_requests_are_refused(app, client, entry, content, message):
    head = json.dumps({"inputs": [entry]}).encode()
    headers = [(b"inference-header-content-length", b"%d" % len(head))]
    answer = client.ask(app, "POST", PATH, head + content, headers)
    assert answer.status == 400
    assert message in answer.json["error"]


@pytest.mark.parametrize("size", [b"-1", b"x", b"", b"1" * 20, b"100000", "²".encode()])
def test_invalid_header_lengths_are_refused(app, client, size):
    answer = client.ask(app, "POST", PATH, request(), [(b"inference-header-content-length", size)])
    assert answer.status == 400
    assert "Inference-Header-Content-Length" in answer.json["error"]


def test_name_of_the_model_in_the_request_is_accepted(app, client, mnist):
    answer = client.infer(app, "mnist.decode", {"z": Z}, model_name="mnist.decode")  # as the client of KServe sends it
    np.testing.assert_array_equal(answer.arrays()["x"], mnist.decode(Z))


@pytest.mark.parametrize("padding", range(4))
def test_binary_tensors_may_begin_at_any_address(app, client, mnist, padding):
    head = json.dumps({"inputs": [BINARY]}).encode() + b" " * padding
    headers = [(b"inference-header-content-length", b"%d" % len(head))]
    answer = client.ask(app, "POST", PATH, head + Z.tobytes(), headers)
    np.testing.assert_array_equal(answer.arrays()["x"], mnist.decode(Z))


def test_outputs_are_written_as_requested(app, client, mnist):
    x = np.zeros((2, 1, 28, 28), np.float32)
    outputs = [{"name": "log_var", "parameters": {"binary_data": False}}, {"name": "mean"}]
    answer = client.infer(app, "mnist.encode", {"x": x}, outputs=outputs, id='a"b')
    size = int(answer.headers[b"inference-header-content-length"])
    tree = json.loads(answer.body[:size])
    assert (tree["id"], tree["model_name"], tree["model_version"]) == ('a"b', "mnist.encode", "1")
    log_var, mean = tree["outputs"]
    assert (log_var["name"], mean["name"], mean["parameters"]) == ("log_var", "mean", {"binary_data_size": 320})
    np.testing.assert_array_equal(np.array(log_var["data"], np.float32).reshape(2, 40), mnist.encode(x).log_var)
    assert answer.body[size:] == mnist.encode(x).mean.tobytes()


def test_repeated_heads_keep_their_parameters(app, client):
    answers = [client.infer(app, "mnist.sample", {"n": np.array([1])}, {"seed": 4}, id="one") for _ in range(3)]
    assert answers[0].status == 200
    assert answers[0] == answers[1] == answers[2]

"""Messages of the Open Inference Protocol, version 2, with the extension for binary tensors."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import numpy as np
import orjson

from vaedge.server.responses import JSON, Response, invalid
from vaedge.server.tensors import Array, BinaryTensor, binary_tensor, datatype_of, from_bytes, from_json

VERSION = "1"  # the only version of each model
_MAX_KNOWN = 1024  # maximum number of bytes of a JSON text whose content is cached
_KEYS = ("id", "parameters", "inputs", "outputs")
_BINARY = (b"content-type", b"application/octet-stream")


class Request(NamedTuple):
    """The content of a request for inference.

    Attributes:
        id: The id that the response repeats, or None.
        inputs: Dict from the name of each input to its array.
        parameters: Parameters of the operation.
        outputs: Dict from the name of each requested output to whether it is binary. An empty dict means all outputs.
        binary: Whether outputs are binary by default.
    """

    id: str | None
    inputs: dict[str, Array]
    parameters: dict[str, Any]
    outputs: dict[str, bool]
    binary: bool


class _Head(NamedTuple):
    """The content of the JSON of a request. The fields are those of `Request`."""

    id: str | None
    inputs: dict[str, Array | BinaryTensor]
    parameters: dict[str, Any]
    outputs: dict[str, bool]
    binary: bool


def read_request(body: bytes, json_size: int | None) -> Request:
    """Read the body of a request.

    Args:
        body: The body.
        json_size: Size of the JSON at the start of the body, from the header `Inference-Header-Content-Length`. None
            means that the whole body is JSON.

    Raises:
        RequestError: The body does not follow the protocol.
    """
    end = len(body) if json_size is None else json_size
    if end > len(body):
        raise invalid(f"Inference-Header-Content-Length is {end}, but the body has only {len(body)} bytes")
    # A client usually sends the same JSON in all its binary requests, so the content of the JSON is cached.
    head = _known_head(body[:end]) if end <= _MAX_KNOWN and json_size is not None else _read_head(body[:end])
    inputs: dict[str, Array] = {}
    for name, tensor in head.inputs.items():
        if isinstance(tensor, BinaryTensor):
            inputs[name] = from_bytes(tensor, body, end)
            end += tensor.size
        else:
            inputs[name] = tensor
    if end != len(body):
        left = len(body) - end
        raise invalid(f"the body has {left} bytes after the last input; correct binary_data_size or the JSON length")
    return Request(head.id, inputs, head.parameters, head.outputs, head.binary)


def _read_head(text: bytes) -> _Head:
    tree = _object(_read_json(text), "the request")
    unknown = tree.keys() - {*_KEYS, "model_name"}  # the client of KServe sends the name of the model
    if unknown:
        raise invalid(
            f"unknown keys in the request: {', '.join(sorted(unknown))[:100]}; expected {', '.join(_KEYS)}; write "
            "parameters of the model, such as seed, into the object named parameters"
        )
    identity = tree.get("id")
    if identity is not None and type(identity) is not str:
        raise invalid("id is not a JSON string")
    parameters = _object(tree.get("parameters", {}), "parameters")
    binary = _flag(parameters.pop("binary_data_output", False), "binary_data_output")
    inputs: dict[str, Array | BinaryTensor] = {}
    for entry in _entries(tree, "inputs"):
        name = _new_name(entry, inputs)
        shape, datatype = entry.get("shape"), entry.get("datatype")
        size = _object(entry.get("parameters", {}), f"{name}: parameters").get("binary_data_size")
        if size is None:
            inputs[name] = from_json(name, datatype, shape, entry.get("data"))
        elif "data" in entry:
            raise invalid(f"{name} has both data and binary_data_size; give one of them")
        else:
            inputs[name] = binary_tensor(name, datatype, shape, size)
    outputs: dict[str, bool] = {}
    for entry in _entries(tree, "outputs"):
        name = _new_name(entry, outputs)
        options = _object(entry.get("parameters", {}), f"{name}: parameters")
        if options.keys() - {"binary_data"}:
            raise invalid(f"{name}: unknown parameter; the only parameter of an output is binary_data")
        outputs[name] = _flag(options.get("binary_data", binary), "binary_data")
    return _Head(identity, inputs, parameters, outputs, binary)


_known_head = lru_cache(maxsize=256)(_read_head)


def write_response(model: str, request: Request, arrays: Mapping[str, Array]) -> Response:
    """Return a response with the requested outputs.

    Args:
        model: Name of the model.
        request: The request.
        arrays: Dict from the name of each output to its array.

    Raises:
        RequestError: A JSON output holds NaN or infinity.
    """
    outputs = request.outputs or dict.fromkeys(arrays, request.binary)
    if all(outputs.values()):
        head = _binary_head(model, tuple(_described(name, arrays[name]) for name in outputs))
    else:
        entries = [
            _binary_entry(*_described(name, arrays[name])) if binary else _json_entry(name, arrays[name])
            for name, binary in outputs.items()
        ]
        head = _head(model, entries)
    if request.id is not None:
        head = b'{"id":' + json.dumps(request.id).encode() + b"," + head[1:]
    parts = [arrays[name].tobytes() for name, binary in outputs.items() if binary]
    if not parts:
        return Response(200, (JSON,), head)
    headers = (_BINARY, (b"inference-header-content-length", b"%d" % len(head)))
    return Response(200, headers, b"".join((head, *parts)))


@lru_cache(maxsize=1024)
def _binary_head(model: str, outputs: tuple[tuple[str, str, tuple[int, ...], int], ...]) -> bytes:
    """Return the JSON of a response with only binary outputs. Most responses of a model have the same JSON."""
    return _head(model, [_binary_entry(*output) for output in outputs])


def _head(model: str, entries: list[dict[str, Any]]) -> bytes:
    tree = {"model_name": model, "model_version": VERSION, "outputs": entries}
    return orjson.dumps(tree, option=orjson.OPT_SERIALIZE_NUMPY)


def _described(name: str, array: Array) -> tuple[str, str, tuple[int, ...], int]:
    return name, datatype_of(array), array.shape, array.nbytes


def _binary_entry(name: str, datatype: str, shape: tuple[int, ...], size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def _json_entry(name: str, array: Array) -> dict[str, Any]:
    if not np.isfinite(array).all():
        raise invalid("the result holds NaN or infinity, which JSON cannot express; request binary outputs")
    return {"name": name, "datatype": datatype_of(array), "shape": array.shape, "data": array.ravel()}


def _read_json(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise invalid("the JSON is nested too deeply; send flat arrays") from error
    except ValueError as error:
        raise invalid(f"the request is not JSON: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _object(value: Any, name: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise invalid(f"{name} is not a JSON object")
    return value


def _flag(value: Any, name: str) -> bool:
    if type(value) is not bool:
        raise invalid(f"{name} must be true or false")
    return value


def _entries(tree: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = tree.get(key, [])
    if type(entries) is not list:
        raise invalid(f"{key} is not a JSON array")
    return [_object(entry, f"an entry of {key}") for entry in entries]


def _new_name(entry: dict[str, Any], known: Mapping[str, object]) -> str:
    name = entry.get("name")
    if type(name) is not str or not name or len(name) > 100:
        raise invalid("each input and output must have a name of 1 to 100 characters")
    if name in known:
        raise invalid(f"{name} occurs twice; send each input once, and request each output once")
    return name

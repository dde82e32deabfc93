"""The ASGI application.

All paths are known when the application is created, so a dict from paths to handlers is sufficient.
"""

import gc
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from vaedge import VAE, InputError, __version__
from vaedge.server.batching import JobQueue
from vaedge.server.body import Body, Receive, json_size
from vaedge.server.job import Job
from vaedge.server.limits import Limits, Memory
from vaedge.server.metrics import Metrics
from vaedge.server.models import Model, absent_models, models_of
from vaedge.server.protocol import VERSION
from vaedge.server.responses import RequestError, Response, error_response, json_response, logger

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_HEALTH = ("/v2/health/live", "/v2/health/ready")
_TOKEN = re.compile(r"[!-~]+")
_PART = 65_536  # maximum number of bytes of a body that are sent in one message
# Name of an ASGI extension of `vaedge serve`, whose value is of the type `WholeMessages`.
WHOLE_MESSAGES = "vaedge.whole_messages"
_GONE = 499  # status that the metrics show for a request whose client went away


class WholeMessages(NamedTuple):
    """Functions that are faster than those of ASGI, because they handle whole messages.

    Attributes:
        receive: Returns the whole body of the request, or None if it has not arrived.
        send: Sends a whole response and returns True, or returns False if the client reads too slowly.
    """

    receive: Callable[[], bytes | None]
    send: Callable[[Response], bool]


_NO_WHOLE_MESSAGES = WholeMessages(lambda: None, lambda _: False)


def create_app(
    vaes: Iterable[VAE], *, max_batch: int = 128, token: str | None = None, limits: Limits | None = None
) -> "Application":
    """Create an application that serves bundles. Any ASGI server can run it, and any ASGI framework can mount it.

    Args:
        vaes: The loaded bundles.
        max_batch: Maximum number of rows in a batch of joined requests. A request with more rows runs alone.
        token: Token that requests must send in the header `Authorization: Bearer TOKEN`. Requests to the health paths
            need no token. None accepts every request.
        limits: Limits of sizes, waiting requests, and times. None means the defaults of `Limits`.

    Raises:
        InputError: Two bundles have the same name, or a header cannot hold `token`.
    """
    if token is not None and not _TOKEN.fullmatch(token):
        raise InputError(
            "a header cannot hold the token: the token is empty, or it has spaces, control characters, or characters "
            "outside of ASCII. Use only visible ASCII characters"
        )
    return Application(list(vaes), max_batch, token, limits or Limits())


class Application:
    """An ASGI application that implements the Open Inference Protocol for some bundles."""

    def __init__(self, vaes: list[VAE], max_batch: int, token: str | None, limits: Limits) -> None:
        """Create the models and their queues. `create_app` documents the arguments."""
        self._limits, self._memory = limits, Memory(limits.held_bytes)
        self._token = None if token is None else token.encode()
        models = models_of(vaes, limits)
        self._absent = {name: reason for vae in vaes for name, reason in absent_models(vae).items()}
        self._metrics = Metrics(models)
        self._inference: dict[str, tuple[Model, JobQueue]] = {}
        index = [{"name": name, "version": VERSION, "state": "READY", "reason": ""} for name in models]
        server = {"name": "vaedge", "version": __version__, "extensions": ["binary_tensor_data"]}
        ready = {"ready": True}
        self._answers: dict[tuple[str, str], Callable[[], Response]] = {
            ("GET", "/v2"): partial(json_response, server),
            ("GET", _HEALTH[0]): partial(json_response, {"live": True}),
            ("GET", _HEALTH[1]): partial(json_response, ready),
            ("POST", "/v2/repository/index"): partial(json_response, index),
            ("GET", "/metrics"): self._metrics.response,
        }
        new_queue = partial(JobQueue, max_batch, limits.waiting, self._memory, self._metrics.observe_batch)
        # Joined calls are short. Other calls can take long, so they run in another thread and delay no joined call.
        queues = {(id(vae), joins): new_queue() for vae in vaes for joins in (True, False)}
        for name, model in models.items():
            for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{VERSION}"):
                self._answers["GET", path] = partial(json_response, model.metadata())
                self._answers["GET", f"{path}/ready"] = partial(json_response, {"name": name, **ready})
                self._inference[f"{path}/infer"] = model, queues[id(model.vae), model.joins]

    @property
    def is_running(self) -> bool:
        """Whether a thread still runs requests."""
        return any(queue.is_running for _, queue in self._inference.values())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, follow the lifespan protocol, or refuse a WebSocket."""
        if scope["type"] != "http":
            await (_lifespan(receive, send) if scope["type"] == "lifespan" else send({"type": "websocket.close"}))
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        target = self._inference.get(path)
        if target is not None and scope["method"] == "POST":
            await self._infer(*target, scope, receive, send)
            return
        try:
            if path not in _HEALTH:
                self._require_token(dict(scope["headers"]))
            response = self._answer(scope["method"], path)
        except Exception as error:
            response = error_response(error)
        await _send(scope, send, response)

    def _answer(self, method: str, path: str) -> Response:
        answer = self._answers.get((method, path))
        if answer is not None:
            return answer()
        expected = [known for known, other in self._answers if other == path] + ["POST"] * (path in self._inference)
        if expected:
            raise RequestError(405, f"wrong method for this path; use {expected[0]}", {"allow": expected[0]})
        if path.startswith("/v2/models/"):
            name = path.split("/")[3]
            if name in self._absent:
                raise RequestError(404, self._absent[name])
            known = {model.name for model, _ in self._inference.values()}
            if name not in known:
                raise RequestError(404, f"unknown model {name[:100]!r}; this server has {', '.join(sorted(known))}")
            if "/versions/" in path:
                raise RequestError(404, f"unknown version of {name}, or unknown path; expected version {VERSION}")
        raise RequestError(
            404,
            "unknown path; use a path of the Open Inference Protocol: /v2, /v2/models/NAME, /v2/models/NAME/infer, "
            "/v2/models/NAME/ready, or /v2/health/ready",
        )

    def _require_token(self, headers: Mapping[bytes, bytes]) -> None:
        if self._token is None:
            return
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if not hmac.compare_digest(token, self._token) or scheme.lower() != b"bearer":
            raise RequestError(
                401,
                "the token is missing or wrong; send the header Authorization: Bearer TOKEN",
                {"www-authenticate": "Bearer"},
            )

    async def _infer(self, model: Model, queue: JobQueue, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        status = _GONE
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        receive = partial(_receive, receive)
        body, job = Body(self._limits, self._memory), None
        self._metrics.begin()
        try:
            try:
                self._require_token(headers)
                response = None
                if await body.read(headers, receive, _whole_messages(scope).receive):
                    job = Job(model, body.content, json_size(headers), partial(_until_gone, receive))
                    queue.submit(job)
                    response = await job.future
            except Exception as error:
                response = error_response(error)
            if response is not None:
                await _send(scope, send, response)
                status = response.status
        finally:
            if job is not None:
                queue.leave(job)
            body.release()
            self._metrics.end(model.name, status, perf_counter() - started)


def _whole_messages(scope: Scope) -> WholeMessages:
    functions: WholeMessages = (scope.get("extensions") or {}).get(WHOLE_MESSAGES, _NO_WHOLE_MESSAGES)
    return functions


async def _send(scope: Scope, send: Send, response: Response) -> None:
    if response.status == 200 and len(response.body) <= _PART and _whole_messages(scope).send(response):
        return
    headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    # ASGI servers buffer a whole message. Between messages, they wait until the client has read most of the data.
    last = max(0, len(response.body) - 1) // _PART * _PART
    for start in range(0, last, _PART):
        part = response.body[start : start + _PART]
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": response.body[last:]})


async def _receive(receive: Receive) -> MutableMapping[str, Any]:
    """Return the next message, or a disconnect if the ASGI server raises an error.

    Ray Serve may raise an error when the client goes away.
    """
    try:
        return await receive()
    except Exception:
        logger.debug("the ASGI server failed to deliver a message", exc_info=True)
        return {"type": "http.disconnect"}


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        if kind == "lifespan.startup":
            # Without gc.freeze, each full garbage collection visits the objects of all imported modules, and requests
            # wait for it. Requests create no reference cycles, so few collections are sufficient.
            gc.collect()
            gc.freeze()
            gc.set_threshold(10_000)
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return

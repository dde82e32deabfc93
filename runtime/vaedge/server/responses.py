"""Responses, and errors that become responses."""

import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from vaedge.errors import ClosedError, InputError, VaedgeError

logger = logging.getLogger("vaedge.server")

Headers = tuple[tuple[bytes, bytes], ...]
JSON = (b"content-type", b"application/json")


class Response(NamedTuple):
    """The status, the headers except for the content length, and the body of a response."""

    status: int
    headers: Headers
    body: bytes


class RequestError(VaedgeError):
    """A request that the server refuses.

    Attributes:
        status: The HTTP status of the response.
        headers: Further headers of the response.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Store the status, the message, and the headers."""
        super().__init__(message)
        self.status = status
        self.headers = tuple((name.encode(), value.encode()) for name, value in (headers or {}).items())


def invalid(message: str) -> RequestError:
    """Return the error for a request that does not follow the protocol."""
    return RequestError(400, message)


def overloaded(message: str) -> RequestError:
    """Return the error for a request that the server cannot accept now."""
    return RequestError(503, f"{message}; try again later", {"retry-after": "1"})


def json_response(tree: Any, status: int = 200, headers: Headers = ()) -> Response:
    """Return a response with a JSON body."""
    return Response(status, (JSON, *headers), json.dumps(tree).encode())


def error_response(error: Exception) -> Response:
    """Return the response to a request that failed.

    Only messages about the request are sent. Other messages may contain paths of the server's files, so they are not
    sent, only logged.
    """
    if isinstance(error, RequestError):
        return json_response({"error": str(error)}, error.status, error.headers)
    if isinstance(error, InputError):
        return json_response({"error": str(error)}, 400)
    if isinstance(error, ClosedError):
        return error_response(overloaded("the model was closed"))
    if isinstance(error, MemoryError):
        return error_response(overloaded("the server does not have enough memory"))
    logger.error("a request failed", exc_info=error)
    return json_response({"error": "the server failed to answer this request; see the log of the server"}, 500)

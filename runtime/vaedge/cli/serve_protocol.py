"""The HTTP protocol of `vaedge serve`: uvicorn's protocol with errors in JSON and with limits for headers."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from vaedge.server.app import WHOLE_MESSAGES, Scope, Send, WholeMessages
from vaedge.server.body import Receive
from vaedge.server.responses import Response, error_response, json_response, overloaded

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def answer_canceled(app: App) -> App:
    """Return an application that also answers the requests that uvicorn cancels when the server ends."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = False

        async def observed(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await app(scope, receive, observed)
        except asyncio.CancelledError:
            # Without a response, uvicorn would send an error that is not JSON, and log a traceback. An incomplete
            # response cannot be repaired, so uvicorn closes its connection.
            if not started:
                response = error_response(overloaded("the server is shutting down"))
                headers = [
                    *response.headers,
                    (b"content-length", b"%d" % len(response.body)),
                    (b"connection", b"close"),
                ]
                await send({"type": "http.response.start", "status": response.status, "headers": headers})
                await send({"type": "http.response.body", "body": response.body})
        finally:
            scope.pop("extensions", None)  # it refers to the request, which refers to the scope

    return run


class Protocol(HttpToolsProtocol):
    """One connection, with limits that uvicorn lacks: the size of headers, and the time within which they must arrive.

    Attributes:
        header_bytes: Maximum number of bytes that a client may send before its headers are complete.
        header_seconds: Time within which the headers must arrive, in seconds.
    """

    header_bytes = 65_536
    header_seconds = 30.0
    _received = 0  # bytes since the end of the last headers, or of the last part of a body
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Open the connection, and start the timer of the headers."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the connection, and stop the timer."""
        super().connection_lost(exc)
        self._stop_timer()

    def data_received(self, data: bytes) -> None:
        """Parse data, and refuse headers that are too large."""
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._received > self.header_bytes:
            self._refuse(431, f"the headers have more than {self.header_bytes:,} bytes; send fewer or shorter headers")
        elif self._received or self.cycle.response_complete:
            # Headers are incomplete, or a request was answered before its whole body arrived.
            self._start_timer()
        else:
            self._stop_timer()

    def on_headers_complete(self) -> None:
        """Start the request, and reset the count of bytes."""
        super().on_headers_complete()
        self._received = 0
        whole = WholeMessages(partial(_receive, self.cycle), partial(self._respond, self.cycle))
        extensions: Any = {WHOLE_MESSAGES: whole}
        self.cycle.scope["extensions"] = extensions

    def on_body(self, body: bytes) -> None:
        """Add a part of a body, and reset the count of bytes."""
        super().on_body(body)
        self._received = 0

    def on_message_complete(self) -> None:
        """End the body of a request, and reset the count of bytes."""
        super().on_message_complete()
        self._received = 0

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Refuse a request that the parser cannot read."""
        self._refuse(400, "the request does not follow HTTP/1.1; correct its first line, headers, or chunks")

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        if self._received:
            self._refuse(408, f"the headers did not arrive within {self.header_seconds:g} seconds; send them faster")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Refuse a request, and close the connection.

        The error is sent before the connection is closed. If an earlier request still runs, its response is sent
        instead of the error.
        """
        cycle = self.cycle
        if self.pipeline or (cycle is not None and not (cycle.response_complete or cycle.more_body)):
            # uvicorn answers the earlier requests of this connection, and then closes the connection.
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        response = json_response({"error": message}, status)
        self.transport.write(self._message(response, close=True))
        self.transport.close()

    def _respond(self, cycle: RequestResponseCycle, response: Response) -> bool:
        """Send a whole response with one system call, and return True. Return False if the client reads too slowly.

        uvicorn sends the headers and the body with two system calls, which take longer than all other work for a small
        response.
        """
        if self.flow.write_paused:
            return False
        cycle.response_started = cycle.response_complete = True
        if not (cycle.disconnected or self.transport.is_closing()):
            self.transport.write(self._message(response, close=not cycle.keep_alive))
            cycle.message_event.set()
            if not cycle.keep_alive:
                self.transport.close()
            cycle.on_response()
        return True

    def _message(self, response: Response, *, close: bool) -> bytes:
        """Return all bytes of a response."""
        lines = [b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *response.headers)]
        end = b"connection: close\r\n\r\n" if close else b"\r\n"
        return b"".join(
            (STATUS_LINE[response.status], *lines, b"content-length: %d\r\n" % len(response.body), end, response.body)
        )


def _receive(cycle: RequestResponseCycle) -> bytes | None:
    """Return the whole body of a request. Return None if the body has not arrived, or if the client went away."""
    if cycle.more_body or cycle.disconnected:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    return body

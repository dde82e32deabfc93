"""An ASGI application that serves bundles with the Open Inference Protocol, version 2 (extra `serve`)."""

from vaedge.server.app import create_app

__all__ = ["create_app"]

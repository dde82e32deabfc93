"""An ASGI application that serves bundles with the Open Inference Protocol, version 2 (extra `serve`)."""

from vaedge.errors import DependencyError, install_hint

try:
    from vaedge.server.app import create_app
except ModuleNotFoundError as error:
    raise DependencyError(f"vaedge.server needs {error.name}: {install_hint('serve')}") from error

__all__ = ["create_app"]

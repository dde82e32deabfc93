"""Servers for the comparison in benchmarks/serving.py: `python serving_baselines.py NAME BUNDLE PORT`.

NAME is `fastapi` or `empty`. `fastapi` decodes latents, and answers with JSON. `empty` computes nothing, and returns as
many bytes as a decoded image has.
"""

import sys

import numpy as np

import vaedge


def serve_empty(bundle: str, port: int) -> None:
    """Serve a Starlette route. It reads the body of the request, and returns an image of zeros."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    content = bytes(4 * int(np.prod(vaedge.load(bundle).input_shape)))

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(content, media_type="application/octet-stream")

    app = Starlette(routes=[Route("/decode", answer, methods=["POST"])])
    settings = {"http": "httptools", "ws": "none", "access_log": False, "proxy_headers": False, "server_header": False}
    uvicorn.run(app, port=port, loop="uvloop", log_level="warning", **settings)  # the settings of `vaedge serve`


def serve_fastapi(bundle: str, port: int) -> None:
    """Serve a FastAPI endpoint that decodes latents in the event loop."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Latents(BaseModel):
        z: list[list[float]]

    class Images(BaseModel):
        x: list[list[list[list[float]]]]

    vae = vaedge.load(bundle, threads=1)
    app = FastAPI()

    @app.post("/decode")
    async def decode(latents: Latents) -> Images:
        return Images(x=vae.decode(np.array(latents.z, np.float32)).tolist())

    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    servers = {"empty": serve_empty, "fastapi": serve_fastapi}
    servers[sys.argv[1]](sys.argv[2], int(sys.argv[3]))

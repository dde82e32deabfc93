"""The graphs of one bundle, ready to run: encoder, decoder, and, from their first use together, both as one."""

import threading

from vaedge.bundle import Bundle
from vaedge.engine import Graph, Tensor, open_sessions, require_onnxruntime, thread_count
from vaedge.merge import RECONSTRUCTION, merged


class Graphs:
    """The sessions of a bundle, all on one device. Threads may share it.

    Its one piece of mutable state is the third session, which is made once, under a lock, when it is first asked for:
    whoever only samples does not pay for it.

    Attributes:
        encoder: x, conditions -> mean, log_var.
        decoder: z, conditions -> x, and the parameters of p(x|z).
        device: "cpu" or "cuda:N".
        threads: processor threads per session.
    """

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        """Open encoder and decoder; `vaedge.load` says what is raised."""
        manifest = bundle.manifest
        require_onnxruntime(manifest.minimum_onnxruntime)
        self.threads = thread_count(threads)
        (encoder, decoder), self.device = open_sessions((bundle.encoder, bundle.decoder), device, self.threads)
        files = manifest.variants[bundle.variant]
        latent, item = manifest.latent_shape, manifest.input_shape
        self._told = {name: (condition.dtype, condition.shape) for name, condition in manifest.conditions.items()}
        self._x: Tensor = ("float32", item)
        to_decoder: dict[str, Tensor] = {"z": ("float32", latent), **self._told}
        self.encoder = Graph(encoder, files.encoder, {"x": self._x, **self._told}, {"mean": latent, "log_var": latent})
        self.decoder = Graph(
            decoder, files.decoder, to_decoder, {"x": item, **dict.fromkeys(manifest.parameters, item)}
        )
        self._bytes = bundle.encoder, bundle.decoder
        self._reconstructor: Graph | None = None
        self._lock = threading.Lock()

    @property
    def reconstructor(self) -> Graph:
        """x, conditions -> RECONSTRUCTION, the decoder's x at the encoder's mean."""
        if self._reconstructor is None:
            with self._lock:
                if self._reconstructor is None:
                    graph = merged(*self._bytes, self._told)
                    (session,), _ = open_sessions((graph,), self.device, self.threads)
                    inputs, outputs = {"x": self._x, **self._told}, {RECONSTRUCTION: self._x[1]}
                    self._reconstructor = Graph(session, "encoder and decoder as one", inputs, outputs)
        return self._reconstructor

"""The graphs of one bundle, ready to run: encoder, decoder, and both as one."""

import threading

from vaedge import forks
from vaedge.bundle import Bundle
from vaedge.engine import Graph, Tensor, open_sessions, require_onnxruntime, thread_count
from vaedge.errors import ClosedError
from vaedge.merge import RECONSTRUCTION, merged

_ENCODER, _DECODER, _RECONSTRUCTOR = "encoder", "decoder", "reconstructor"


class Graphs:
    """The sessions of a bundle, all on one device. Threads may share it.

    Its mutable state is which sessions are open, and changes only under a lock. Encoder and decoder are opened at
    once; both as one when it is first asked for, for whoever only samples need not pay for it. A forked child begins
    with none, because the threads of its parent's did not come with it, and opens its own. `close` lets go of all.

    Attributes:
        device: "cpu" or "cuda:N".
        threads: processor threads per session.
    """

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        """Open encoder and decoder; `vaedge.load` says what is raised."""
        manifest = bundle.manifest
        require_onnxruntime(manifest.minimum_onnxruntime)
        self.threads = thread_count(threads)
        sessions, self.device = open_sessions((bundle.encoder, bundle.decoder), device, self.threads)
        files = manifest.variants[bundle.variant]
        self._names = {_ENCODER: files.encoder, _DECODER: files.decoder, _RECONSTRUCTOR: "encoder and decoder as one"}
        latent, item = manifest.latent_shape, manifest.input_shape
        told: dict[str, Tensor] = {
            name: (condition.dtype, condition.shape) for name, condition in manifest.conditions.items()
        }
        x: dict[str, Tensor] = {"x": ("float32", item), **told}
        self._inputs = {_ENCODER: x, _DECODER: {"z": ("float32", latent), **told}, _RECONSTRUCTOR: x}
        self._outputs = {
            _ENCODER: {"mean": latent, "log_var": latent},
            _DECODER: {"x": item, **dict.fromkeys(manifest.parameters, item)},
            _RECONSTRUCTOR: {RECONSTRUCTION: item},
        }
        self._bytes = bundle.encoder, bundle.decoder
        self._lock = threading.Lock()
        self._closed = False
        self._open = {name: self._graph(name, session) for name, session in zip(self._names, sessions, strict=False)}
        forks.watch(self)

    @property
    def encoder(self) -> Graph:
        """x, conditions -> mean, log_var."""
        return self._open.get(_ENCODER) or self._reopen(_ENCODER)

    @property
    def decoder(self) -> Graph:
        """z, conditions -> x, and the parameters of p(x|z)."""
        return self._open.get(_DECODER) or self._reopen(_DECODER)

    @property
    def reconstructor(self) -> Graph:
        """x, conditions -> RECONSTRUCTION, the decoder's x at the encoder's mean."""
        return self._open.get(_RECONSTRUCTOR) or self._reopen(_RECONSTRUCTOR)

    def close(self) -> None:
        """Let go of all sessions; calls under way end undisturbed, and further ones raise ClosedError."""
        with self._lock:
            self._closed = True
            self._open.clear()
            self._bytes = b"", b""

    def inherited(self) -> list[object]:
        """Begin afresh in a forked child; the lock may have been held by a thread that is not here."""
        sessions = [graph.session for graph in self._open.values()]
        self._lock = threading.Lock()
        self._open = {}
        return sessions

    def _reopen(self, name: str) -> Graph:
        with self._lock:
            if self._closed:
                raise ClosedError("this VAE was closed: load the bundle again")
            if name not in self._open:
                encoder, decoder = self._bytes
                told = self._inputs[_ENCODER].keys() - {"x"}
                content = {_ENCODER: encoder, _DECODER: decoder}.get(name) or merged(encoder, decoder, told)
                (session,), _ = open_sessions((content,), self.device, self.threads)
                self._open[name] = self._graph(name, session)
            return self._open[name]

    def _graph(self, name: str, session: object) -> Graph:
        return Graph(session, self._names[name], self._inputs[name], self._outputs[name])

"""The graphs of one bundle, ready to run: encoder, decoder, and both as one."""

import threading
from dataclasses import replace

from vaedge.bundle.reading import Bundle
from vaedge.bundle.signature import decoder_signature, encoder_signature
from vaedge.engine import forks
from vaedge.engine.device import open_session, thread_count
from vaedge.engine.merge import RECONSTRUCTION, merged
from vaedge.engine.onnxruntime import require_onnxruntime
from vaedge.engine.session import Graph
from vaedge.errors import ClosedError

_ENCODER, _DECODER, _RECONSTRUCTOR = "encoder", "decoder", "reconstructor"


class Graphs:
    """The sessions of a bundle, all on one device. Threads may share it.

    Its mutable state is which sessions are open, and changes only under a lock. The decoder is opened at once, the
    others when they are first asked for: whoever only samples pays neither for an encoder nor for both as one. A forked
    child begins with none, because the threads of its parent's did not come with it. `close` lets go of all.

    Attributes:
        device: "cpu" or "cuda:N".
        threads: processor threads per session.
    """

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        """Open the decoder; `vaedge.load` says what is raised."""
        manifest = bundle.manifest
        require_onnxruntime(manifest.minimum_onnxruntime)
        self.threads = thread_count(threads)
        files = manifest.variants[bundle.variant]
        self._names = {_ENCODER: files.encoder, _DECODER: files.decoder, _RECONSTRUCTOR: "encoder and decoder as one"}
        encoder, decoder = encoder_signature(manifest), decoder_signature(manifest)
        both = replace(encoder, outputs={RECONSTRUCTION: decoder.outputs["x"]})
        self._signatures = {_ENCODER: encoder, _DECODER: decoder, _RECONSTRUCTOR: both}
        self._conditions = tuple(manifest.conditions)
        self._bytes = {_ENCODER: bundle.encoder, _DECODER: bundle.decoder}
        self._lock = threading.Lock()
        self._closed = False
        session, self.device = open_session(bundle.decoder, device, self.threads)
        self._open = {_DECODER: Graph(session, files.decoder, decoder)}
        forks.watch(self)

    @property
    def encoder(self) -> Graph:
        """x, conditions -> mean, log_var."""
        return self._open.get(_ENCODER) or self._opened(_ENCODER)

    @property
    def decoder(self) -> Graph:
        """z, conditions -> x, and the parameters of p(x|z)."""
        return self._open.get(_DECODER) or self._opened(_DECODER)

    @property
    def reconstructor(self) -> Graph:
        """x, conditions -> RECONSTRUCTION, the decoder's x at the encoder's mean."""
        return self._open.get(_RECONSTRUCTOR) or self._opened(_RECONSTRUCTOR)

    def close(self) -> None:
        """Let go of all sessions; calls under way end undisturbed, and further ones raise ClosedError."""
        with self._lock:
            self._closed = True
            self._open.clear()
            self._bytes.clear()

    def inherited(self) -> list[object]:
        """Begin afresh in a forked child; the lock may have been held by a thread that is not here."""
        sessions = [graph.session for graph in self._open.values()]
        self._lock = threading.Lock()
        self._open = {}
        return sessions

    def _opened(self, name: str) -> Graph:
        with self._lock:
            if self._closed:
                raise ClosedError("this VAE was closed: load the bundle again")
            if name not in self._open:
                content = self._bytes.get(name) or merged(
                    self._bytes[_ENCODER], self._bytes[_DECODER], self._conditions
                )
                session, _ = open_session(content, self.device, self.threads)
                self._open[name] = Graph(session, self._names[name], self._signatures[name])
            return self._open[name]

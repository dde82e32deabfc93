"""The sessions of one VAE: for the encoder, for the decoder, and for the merged graph of both."""

import threading
from dataclasses import replace

from vaedge.bundle.reader import ModelFiles
from vaedge.bundle.signature import decoder_signature, encoder_signature
from vaedge.engine import forks
from vaedge.engine.device import open_session, thread_count
from vaedge.engine.merge import RECONSTRUCTION, merge_graphs
from vaedge.engine.onnxruntime import require_onnxruntime
from vaedge.engine.session import Graph
from vaedge.errors import ClosedError

_ENCODER, _DECODER, _RECONSTRUCTOR = "encoder", "decoder", "reconstructor"


class Sessions:
    """The sessions of one variant, all on one device. Threads may share this object.

    The constructor opens the session of the decoder. The other sessions are opened when they are first needed. Sampling
    never opens them. A forked child starts without open sessions, because a fork does not copy the
    worker threads. Only the set of open sessions is mutable, and a lock protects it.

    Attributes:
        device: "cpu" or "cuda:N".
        threads: Number of CPU threads per session.
    """

    def __init__(self, files: ModelFiles, device: str, threads: int | None) -> None:
        """Open the session of the decoder. `vaedge.load` documents the errors."""
        manifest = files.manifest
        require_onnxruntime(manifest.minimum_onnxruntime)
        self.threads = thread_count(threads)
        names = manifest.variants[files.variant]
        self._names = {
            _ENCODER: names.encoder,
            _DECODER: names.decoder,
            _RECONSTRUCTOR: "the merged encoder and decoder",
        }
        encoder, decoder = encoder_signature(manifest), decoder_signature(manifest)
        merged = replace(encoder, outputs={RECONSTRUCTION: decoder.outputs["x"]})
        self._signatures = {_ENCODER: encoder, _DECODER: decoder, _RECONSTRUCTOR: merged}
        self._conditions = tuple(manifest.conditions)
        self._bytes = {_ENCODER: files.encoder, _DECODER: files.decoder}
        self._lock = threading.Lock()
        self._closed = False
        session, self.device = open_session(files.decoder, device, self.threads)
        self._open = {_DECODER: Graph(session, names.decoder, decoder)}
        forks.watch(self)

    @property
    def encoder(self) -> Graph:
        """The graph that maps x and the conditions to mean and log_var."""
        return self._open.get(_ENCODER) or self._opened(_ENCODER)

    @property
    def decoder(self) -> Graph:
        """The graph that maps z and the conditions to x and the parameters of p(x|z)."""
        return self._open.get(_DECODER) or self._opened(_DECODER)

    @property
    def reconstructor(self) -> Graph:
        """The merged graph, which maps x and the conditions to the reconstruction of x at the posterior's mean."""
        return self._open.get(_RECONSTRUCTOR) or self._opened(_RECONSTRUCTOR)

    def close(self) -> None:
        """Release all sessions. Calls that have already started finish normally. Later calls raise ClosedError."""
        with self._lock:
            self._closed = True
            self._open.clear()
            self._bytes.clear()

    def inherited(self) -> list[object]:
        """Replace the lock and the sessions in a forked child. Return the inherited sessions.

        At the fork, another thread of the parent may have held the lock. This thread does not exist in the child, so it
        would never release the lock.
        """
        sessions = [graph.session for graph in self._open.values()]
        self._lock = threading.Lock()
        self._open = {}
        return sessions

    def _opened(self, name: str) -> Graph:
        with self._lock:
            if self._closed:
                raise ClosedError("this VAE was closed: load the bundle again")
            if name not in self._open:
                content = self._bytes.get(name) or merge_graphs(
                    self._bytes[_ENCODER], self._bytes[_DECODER], self._conditions
                )
                session, _ = open_session(content, self.device, self.threads)
                self._open[name] = Graph(session, self._names[name], self._signatures[name])
            return self._open[name]

"""A model runs on the requested device, or `load` raises an error with the reason."""

import logging
import sys
import types
import warnings

import pytest

import vaedge
from vaedge.engine import device as engine
from vaedge.engine.cpus import usable_cpus

HAS_CUDA = "CUDAExecutionProvider" in engine.import_onnxruntime().get_available_providers()
without_cuda = pytest.mark.skipif(HAS_CUDA, reason="this ONNX Runtime has CUDA")


@without_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_load_rejects_cuda_that_is_not_built_in(bundle, device):
    with pytest.raises(vaedge.DeviceError, match=r"built without CUDA.*pip install .*\.\[gpu\]"):
        vaedge.load(bundle, device=device)


@without_cuda
def test_auto_logs_its_choice_and_the_reason(bundle, caplog):
    with caplog.at_level(logging.INFO, "vaedge"):
        assert vaedge.load(bundle, device="auto").device == "cpu"
    assert "chose cpu" in caplog.text
    assert "built without CUDA" in caplog.text


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:1:2", "CPU", "cpu ", "", None, 0])
def test_load_rejects_unknown_device(bundle, device):
    with pytest.raises(vaedge.InputError, match=r"device is .*; expected 'cpu', 'cuda', 'cuda:N' or 'auto'"):
        vaedge.load(bundle, device=device)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True, 1025])
def test_load_rejects_invalid_threads(bundle, threads):
    with pytest.raises(vaedge.InputError, match="threads is .*; expected an integer from 1 to 1,024"):
        vaedge.load(bundle, threads=threads)


def test_number_of_threads_is_limited_to_1024():
    assert [engine.thread_count(threads) for threads in (1, 1024)] == [1, 1024]
    assert engine.thread_count(None) == usable_cpus()


@pytest.mark.parametrize("threads", [1, 3])
def test_sessions_get_the_number_of_threads(bundle, threads):
    vae = vaedge.load(bundle, threads=threads)
    assert vae.threads == threads
    for graph in (vae._sessions.encoder, vae._sessions.decoder, vae._sessions.reconstructor):
        options = graph.session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)


class FakeSession:
    """A fake session that reports the given provider, inputs and outputs."""

    def __init__(self, provider, names):
        self.provider = provider
        self.inputs, self.outputs = names

    def get_providers(self):
        return [self.provider]

    def get_inputs(self):
        return self.inputs

    def get_outputs(self):
        return self.outputs


def fake_onnxruntime(monkeypatch, works):
    """Replace ONNX Runtime by a fake with CUDA support. Return the list to which the fake adds the requested providers.

    If `works` is False, the fake warns and falls back to the CPU, as ONNX Runtime does.
    """
    requested = []

    def tensor(name, shape):
        return types.SimpleNamespace(name=name, shape=["batch", *shape], type="tensor(float)")

    def session(graph, options, providers, **_):
        requested.append(providers)
        example, latent = (1, 28, 28), (20,)
        names = [tensor("z", latent)], [tensor("x", example), tensor("logits", example)]  # of a fake decoder
        first = providers[0] if isinstance(providers[0], str) else providers[0][0]
        if first.startswith("CUDA") and not works:
            warnings.warn("libcublas.so.13: cannot open shared object file", stacklevel=1)
            first = "CPUExecutionProvider"
        return FakeSession(first, names)

    fake = types.SimpleNamespace(
        __version__="1.31.1",
        __file__="/nowhere/onnxruntime/__init__.py",
        SessionOptions=lambda: types.SimpleNamespace(add_session_config_entry=lambda key, value: None),
        InferenceSession=session,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        preload_dlls=lambda: print("Failed to load libcudnn.so.9"),
    )
    monkeypatch.setattr(engine, "import_onnxruntime", lambda: fake)
    return requested


def test_cuda_is_opened_on_the_requested_device(bundle, monkeypatch, capsys):
    requested = fake_onnxruntime(monkeypatch, works=True)
    assert vaedge.load(bundle, device="cuda:1").device == "cuda:1"
    assert vaedge.load(bundle, device="auto").device == "cuda:0"
    ((name, options),) = requested[0]
    assert name == "CUDAExecutionProvider"
    assert options["device_id"] == 1
    assert options["use_tf32"] == 0
    assert "device_id" not in requested[-1][0][1]  # ONNX Runtime prints a warning if the option is given
    assert capsys.readouterr().out == ""


def test_load_rejects_fallback_to_the_cpu_with_the_reason(bundle, monkeypatch):
    fake_onnxruntime(monkeypatch, works=False)
    with pytest.raises(vaedge.DeviceError, match=r"fell back.*libcudnn.so.9.*libcublas.so.13"):
        vaedge.load(bundle, device="cuda")


def test_load_rejects_a_gpu_that_does_not_exist(bundle, monkeypatch):
    fake_onnxruntime(monkeypatch, works=True)

    def session(graph, options, providers, **_):
        raise RuntimeError("Invalid device ID: 99, must be between 0 (inclusive) and 1 (exclusive)")

    monkeypatch.setattr(engine.import_onnxruntime(), "InferenceSession", session)
    with pytest.raises(vaedge.DeviceError, match=r"cuda:99 is not available: .*Invalid device ID: 99.*nvidia-smi"):
        vaedge.load(bundle, device="cuda:99")


def test_auto_warns_if_cuda_is_built_in_but_fails(bundle, monkeypatch, caplog):
    fake_onnxruntime(monkeypatch, works=False)
    assert vaedge.load(bundle, device="auto").device == "cpu"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "libcublas" in caplog.text


@pytest.fixture
def fresh_import():
    engine.import_onnxruntime.cache_clear()
    yield
    engine.import_onnxruntime.cache_clear()


@pytest.mark.usefixtures("fresh_import")
def test_load_rejects_missing_onnxruntime(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(vaedge.DependencyError, match=r"extras .cpu. and .gpu.*\.\[cpu\]") as caught:
        vaedge.load(bundle)
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.usefixtures("fresh_import")
def test_load_rejects_two_installed_onnxruntimes(bundle, monkeypatch, tmp_path):
    for name in ("onnxruntime-1.32.0.dist-info", "onnxruntime_gpu-1.32.0.dist-info", "onnxruntime"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("onnxruntime.__file__", str(tmp_path / "onnxruntime" / "__init__.py"))
    with pytest.raises(vaedge.DependencyError, match=r"both installed.*\.\[cpu\]"):
        vaedge.load(bundle)


def test_missing_library_is_found_before_onnxruntime_opens_a_session(bundle, monkeypatch, tmp_path, capfd):
    """The error contains the message of the system's loader, and no session was requested from ONNX Runtime."""
    requested = fake_onnxruntime(monkeypatch, works=True)
    capi = tmp_path / "capi"
    capi.mkdir()
    (capi / "libonnxruntime_providers_cuda.so").write_bytes(b"not a library")
    engine.import_onnxruntime().__file__ = str(tmp_path / "__init__.py")
    with pytest.raises(vaedge.DeviceError, match=r"cannot be loaded: .*libonnxruntime_providers_cuda.so"):
        vaedge.load(bundle, device="cuda")
    assert requested == []
    assert vaedge.load(bundle, device="auto").device == "cpu"
    assert capfd.readouterr() == ("", "")


def test_undefined_symbol_of_onnxruntime_itself_is_not_an_error(bundle, monkeypatch, tmp_path):
    """When ONNX Runtime loads the library, the symbol is not missing, because ONNX Runtime itself defines it."""

    def load(path):
        raise OSError(f"{path}: undefined symbol: Provider_GetHost")

    fake_onnxruntime(monkeypatch, works=True)
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").touch()
    engine.import_onnxruntime().__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setattr(engine.ctypes, "CDLL", load)
    assert vaedge.load(bundle, device="cuda").device == "cuda:0"

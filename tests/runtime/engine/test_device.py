"""The device rule: what was asked for, or an error that says why not."""

import logging
import sys
import types
import warnings

import pytest

import vaedge
from vaedge.engine import device as engine

HAS_CUDA = "CUDAExecutionProvider" in engine.import_onnxruntime().get_available_providers()
without_cuda = pytest.mark.skipif(HAS_CUDA, reason="this ONNX Runtime has CUDA")


@without_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_that_cannot_be_had(bundle, device):
    with pytest.raises(vaedge.DeviceError, match=r"built without CUDA.*pip install .*\.\[gpu\]"):
        vaedge.load(bundle, device=device)


@without_cuda
def test_auto_says_what_it_chose_and_why(bundle, caplog):
    with caplog.at_level(logging.INFO, "vaedge"):
        assert vaedge.load(bundle, device="auto").device == "cpu"
    assert "chose cpu" in caplog.text
    assert "built without CUDA" in caplog.text


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "", None, 0])
def test_devices_that_are_none(bundle, device):
    with pytest.raises(vaedge.InputError, match="device is"):
        vaedge.load(bundle, device=device)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_threads_that_are_none(bundle, threads):
    with pytest.raises(vaedge.InputError, match="threads is"):
        vaedge.load(bundle, threads=threads)


class FakeSession:
    """A session as ONNX Runtime makes it: on the first provider that works, or quietly on the processor."""

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
    """An ONNX Runtime with CUDA in its build, whose CUDA works or does not."""
    asked = []

    def tensor(name, shape):
        return types.SimpleNamespace(name=name, shape=["batch", *shape], type="tensor(float)")

    def session(graph, options, providers, **_):
        asked.append(providers)
        item, latent = (1, 28, 28), (20,)
        names = [tensor("z", latent)], [tensor("x", item), tensor("logits", item)]  # those of a decoder
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
    return asked


def test_cuda_that_works(bundle, monkeypatch, capsys):
    asked = fake_onnxruntime(monkeypatch, works=True)
    assert vaedge.load(bundle, device="cuda:1").device == "cuda:1"
    assert vaedge.load(bundle, device="auto").device == "cuda:0"
    ((name, options),) = asked[0]
    assert name == "CUDAExecutionProvider"
    assert options["device_id"] == 1
    assert options["use_tf32"] == 0
    assert capsys.readouterr().out == ""


def test_cuda_that_falls_back_is_an_error_with_the_cause(bundle, monkeypatch):
    fake_onnxruntime(monkeypatch, works=False)
    with pytest.raises(vaedge.DeviceError, match=r"fell back.*libcudnn.so.9.*libcublas.so.13"):
        vaedge.load(bundle, device="cuda")


def test_auto_warns_when_cuda_is_there_but_fails(bundle, monkeypatch, caplog):
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
def test_no_onnxruntime(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(vaedge.DependencyError, match=r"extras .cpu. and .gpu.*\.\[cpu\]") as caught:
        vaedge.load(bundle)
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.usefixtures("fresh_import")
def test_two_onnxruntimes(bundle, monkeypatch, tmp_path):
    for name in ("onnxruntime-1.32.0.dist-info", "onnxruntime_gpu-1.32.0.dist-info", "onnxruntime"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("onnxruntime.__file__", str(tmp_path / "onnxruntime" / "__init__.py"))
    with pytest.raises(vaedge.DependencyError, match=r"both installed.*\.\[cpu\]"):
        vaedge.load(bundle)


def test_missing_library_is_found_before_onnxruntime_is_asked(bundle, monkeypatch, tmp_path, capfd):
    """The provider's library needs a library that does not exist: the loader's reason is in the error."""
    asked = fake_onnxruntime(monkeypatch, works=True)
    capi = tmp_path / "capi"
    capi.mkdir()
    (capi / "libonnxruntime_providers_cuda.so").write_bytes(b"not a library")
    engine.import_onnxruntime().__file__ = str(tmp_path / "__init__.py")
    with pytest.raises(vaedge.DeviceError, match=r"cannot be loaded: .*libonnxruntime_providers_cuda.so"):
        vaedge.load(bundle, device="cuda")
    assert asked == []
    assert vaedge.load(bundle, device="auto").device == "cpu"
    assert capfd.readouterr() == ("", "")


def test_library_that_needs_onnxruntime_s_own_symbol_is_tried(bundle, monkeypatch, tmp_path):
    """Where all dependencies exist, the loader complains about a symbol that ONNX Runtime provides itself."""

    def load(path):
        raise OSError(f"{path}: undefined symbol: Provider_GetHost")

    fake_onnxruntime(monkeypatch, works=True)
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").touch()
    engine.import_onnxruntime().__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setattr(engine.ctypes, "CDLL", load)
    assert vaedge.load(bundle, device="cuda").device == "cuda:0"

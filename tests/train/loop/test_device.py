"""The choice of the device, and training steps on a device."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vaedge import DeviceError
from vaedge_train import ConfigError, NonFiniteError, OutOfMemoryError, TrainConfig, load_run, train
from vaedge_train.build import build_vae
from vaedge_train.dataset import load_dataset
from vaedge_train.loop import trainer as trainer_module
from vaedge_train.loop.batches import Batch
from vaedge_train.loop.device import choose_device, describe_device, limited_threads
from vaedge_train.loop.distributed import Workers
from vaedge_train.loop.state import TrainingState
from vaedge_train.loop.trainer import Trainer
from vaedge_train.loop.writer import SilentWriter

CPU = torch.device("cpu")
FIELDS = {"hidden": (8,), "latent": 2, "epochs": 3, "batch_size": 8}


@pytest.fixture
def config(image_folder):
    return TrainConfig(dataset=str(image_folder), **FIELDS)


@pytest.fixture
def two_gpus(monkeypatch):
    """Make torch report two working GPUs."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "auto:1", ""])
def test_invalid_name_is_an_error(name):
    with pytest.raises(DeviceError, match="expected 'auto', 'cpu', 'cuda', or 'cuda:N'"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_that_is_missing_is_an_error(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match=f"device is '{name}', but .*(no support for CUDA|finds 0 GPUs); use device"):
        choose_device(name)


def test_auto_is_the_cpu_if_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    assert describe_device(torch.device("cpu")).startswith("cpu (")


@pytest.mark.usefixtures("two_gpus")
def test_processes_take_different_gpus(monkeypatch):
    for rank, index in ((0, 0), (1, 1), (2, 0)):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", index)
    assert choose_device("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(DeviceError, match="torch finds 2 GPUs"):
        choose_device("cuda:2")


def test_gpu_that_does_not_work_is_an_error(two_gpus, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("CUDA error: no kernel image\nand many more lines")

    monkeypatch.setattr(torch, "zeros", broken)
    with pytest.raises(DeviceError, match="the GPU does not work: CUDA error: no kernel image; use"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


def test_number_of_threads_is_restored():
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ConfigError, match="threads is 0; expected an integer of at least 1"), limited_threads(0):
        pass


def test_training_uses_deterministic_convolutions(config, tmp_path, monkeypatch):
    """With other convolutions, a resumed run on a GPU could end with slightly different weights."""
    used, honest = set(), Trainer.step
    monkeypatch.setattr(
        Trainer, "step", lambda self, batch: used.add(torch.backends.cudnn.deterministic) or honest(self, batch)
    )
    before = torch.backends.cudnn.deterministic
    train(config, tmp_path / "run", progress=False)
    assert used == {True}
    assert torch.backends.cudnn.deterministic == before


def test_training_uses_the_given_number_of_threads(config, tmp_path, monkeypatch):
    before, used, honest = torch.get_num_threads(), set(), Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self, batch: used.add(torch.get_num_threads()) or honest(self, batch))
    train(config, tmp_path / "run", progress=False, threads=before + 1)
    assert used == {before + 1}
    assert torch.get_num_threads() == before


def test_missing_device_creates_no_run(config, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError):
        train(config, tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()


class Transfers(TorchDispatchMode):
    """A dispatch mode of torch that records each operation that waits for a device or copies between devices."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        name = str(function)
        if "_local_scalar_dense" in name or options.get("device", CPU) != CPU:
            self.found.append(name)
        return function(*arguments, **options)


every_kind_of_step = pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prior": "vamp", "components": 3, "average": 0.9, "binarize": "dynamic", "clip": 1.0},
        {"network": "conv", "channels": 4, "precision": "bfloat16", "likelihood": "discretized_logistic"},
        {"objective": "iwae", "samples": 3, "path_gradient": True, "prior": "mixture", "components": 3},
    ],
    ids=["default", "vamp", "conv", "iwae"],
)


@every_kind_of_step
def test_step_does_not_wait_for_results_between_checks(config, tmp_path, monkeypatch, fields):
    """On a GPU, the CPU must wait for each result that Python reads, so such reads are avoided."""
    seen = []
    honest = Trainer.step

    def step(self, batch):
        self._check_steps = 10**9
        self.state.step += 1  # avoid step 0, which has a check
        with Transfers() as transfers:
            honest(self, batch)
        self.state.step -= 1
        seen.append(transfers.found)

    monkeypatch.setattr(Trainer, "step", step)
    train(TrainConfig.from_dict({**config.to_dict(), **fields, "epochs": 1}), tmp_path / "run", progress=False)
    assert seen == [[]] * 5


@every_kind_of_step
def test_step_stays_on_the_device_of_the_model(config, monkeypatch, fields):
    """The step runs on the device "meta", where every copy to the CPU and every use of a CPU tensor is an error."""
    config = TrainConfig.from_dict({**config.to_dict(), **fields})
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # autocast does not support "meta"
    dataset, meta = load_dataset(config), torch.device("meta")
    state = TrainingState(build_vae(config, dataset.input_shape, train=dataset.train), config, dataset.train)
    run = Trainer(state, dataset, Workers(), SilentWriter(), progress=False)
    run._check_steps = 10**9
    for model in filter(None, (state.vae, state.average)):
        model.to(meta)
    state.device, state.totals = meta, state.totals.to(meta)
    state.optimizer = torch.optim.AdamW(state.vae.parameters())  # the fused version does not support "meta"
    state.step = 1  # avoid step 0, which has a check
    run.step(Batch(dataset.train[:8].x.to(meta), None, 8))
    assert state.step == 2
    assert all(weight.grad.device == meta for weight in state.vae.parameters())


def test_loss_that_is_not_finite_is_found_at_the_next_check(config, tmp_path, monkeypatch):
    """Although the loss is checked only every four steps, the checkpoint holds finite weights."""
    honest, calls = trainer_module.Objective.forward, iter(range(1000))

    def forward(self, *batch):
        loss, distortion, rate = honest(self, *batch)
        factor = torch.nan if next(calls) == 7 else 1.0
        return loss * factor, distortion * factor, rate

    def start(self, *arguments, **options):
        initialize(self, *arguments, **options)
        self._check_steps = 4

    initialize = Trainer.__init__
    monkeypatch.setattr(Trainer, "__init__", start)
    monkeypatch.setattr(trainer_module.Objective, "forward", forward)
    with pytest.raises(NonFiniteError, match="step 9: the loss is nan"):
        train(config, tmp_path / "run", progress=False)
    monkeypatch.undo()
    assert train(config, tmp_path / "run", resume=True, progress=False).metrics["epoch"] == 3


def test_full_gpu_memory_is_an_error_that_names_the_settings(config, tmp_path, monkeypatch):
    honest, calls = trainer_module.Objective.forward, iter(range(1000))

    def forward(self, *batch):
        if next(calls) == 7:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        return honest(self, *batch)

    monkeypatch.setattr(trainer_module.Objective, "forward", forward)
    with pytest.raises(OutOfMemoryError, match=r"cpu ran out of memory: CUDA .*Lower --batch-size, --samples or"):
        train(config, tmp_path / "run", progress=False)
    monkeypatch.undo()
    assert load_run(tmp_path / "run").metrics["epoch"] == 1
    assert train(config, tmp_path / "run", resume=True, progress=False).metrics["epoch"] == 3


def test_run_of_another_device_is_resumed_with_other_noise(config, tmp_path, monkeypatch):
    """The state of the noise generator of a GPU cannot be used on a CPU."""
    for name in ("a", "b"):
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "evaluate", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                train(config, tmp_path / name, progress=False)
    saved = torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)
    saved |= {"device": "cuda", "generator": torch.zeros(16, dtype=torch.uint8)}
    torch.save(saved, tmp_path / "b" / "checkpoint.pt")
    a, b = (train(config, tmp_path / name, resume=True, progress=False).metrics for name in ("a", "b"))
    assert a["epoch"] == b["epoch"] == 3
    assert a["train_elbo"] != b["train_elbo"]


def test_patience_stops_without_a_better_epoch(config, tmp_path):
    """The learning rate is almost zero, so that no epoch is better than the first epoch."""
    fields = {"validation": 0.25, "patience": 2, "epochs": 40, "learning_rate": 1e-30}
    config = TrainConfig.from_dict({**config.to_dict(), **fields})
    run = train(config, tmp_path / "run", progress=False)
    rows = [line for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines() if line]
    assert run.metrics["epoch"] == 1
    assert len(rows) == 3
    resumed = train(config, tmp_path / "run", resume=True, progress=False)
    assert resumed.metrics["epoch"] == 1


def test_patience_needs_a_validation_part():
    with pytest.raises(ConfigError, match="patience needs a validation part, but validation is 0"):
        TrainConfig(patience=3)
    with pytest.raises(ConfigError, match="patience is 0; expected an integer of at least 1"):
        TrainConfig(patience=0, validation=0.1)

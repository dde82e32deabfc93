# What README.md and .ci/run call. Every target sets up what it needs in .venv, under the tested versions.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := cpu,cli,train,export,examples,engines,cluster,dev
# Where torchvision finds, or puts, the data sets that it downloads.
DATA_DIR ?= data

.PHONY: demo test test-slow test-matrix coverage lint bench models clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $(READY)

# From digits to a verified bundle to pictures; everything lies under demo/.
demo: $(READY)
	rm -rf demo
	$(BIN)/vaedge train --dataset mnist-sample --out demo/run
	$(BIN)/vaedge export demo/run --out demo/bundle
	$(BIN)/vaedge check demo/bundle
	$(BIN)/vaedge sample demo/bundle -n 64 --seed 0 --out demo/samples.png
	$(BIN)/vaedge reconstruct demo/bundle demo/run/examples.npz --out demo/reconstructions.png
	@echo "Look at demo/samples.png and demo/reconstructions.png."

# Two processes. Each runs whole files, so that the fixtures that the tests of a file share are built once.
test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(READY)
	$(BIN)/pytest -m slow

# The runtime's suite with the oldest numpy and ONNX Runtime that it claims, and with the newest there are.
test-matrix: $(READY)
	$(BIN)/pytest -m matrix

# How much of the runtime its own tests reach, branch by branch.
coverage: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term-missing:skip-covered tests/runtime tests/pipeline

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks --data-dir $(DATA_DIR)

# The bundles that ship, trained afresh on all of MNIST; their cards print the same commands. About an hour and a half.
models: $(READY)
	rm -rf runs/article runs/mnist
	$(BIN)/vaedge train --dataset mnist --data-dir $(DATA_DIR) --out runs/article
	$(BIN)/vaedge train --recipe best --data-dir $(DATA_DIR) --out runs/mnist
	for seed in 0 1 2; do $(BIN)/vaedge evaluate runs/mnist -k 5000 --seed $$seed --data-dir $(DATA_DIR); done
	rm -rf models/article models/mnist
	$(BIN)/vaedge export runs/article --out models/article --variants int8
	$(BIN)/vaedge export runs/mnist --out models/mnist --variants int8 --note "Trained on all 60,000 training images, without a \
	validation part and without a look at the test images. Published single-layer MLPs under the same protocol: \
	84.45 nats with N(0, I), 82.43 with a VampPrior, 82.09 with an Exemplar prior (Norouzi et al. 2020)."

clean:
	rm -rf demo dist build

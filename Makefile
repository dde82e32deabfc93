# The targets that README.md and .ci/run use. Each target installs what it needs in .venv, in the tested versions.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := cpu,cli,serve,train,plot,export,cluster,docs,dev
# The folder in which torchvision finds the data sets, or to which it downloads them.
DATA_DIR ?= data
# Two processes. Each runs whole files, so that the fixtures that the tests of a file share are built once.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

WEB := runtime/vaedge/web
# The program that installs Debian packages.
APT := $(shell [ "$$(id -u)" = 0 ] || echo sudo) apt-get

.PHONY: demo setup-web test test-slow test-matrix test-gpu coverage lint docs bench models constraints clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $(READY)

# Train on digits, export and check the bundle, and draw images. All files are written to demo/.
demo: $(READY)
	rm -rf demo
	$(BIN)/vaedge train --dataset mnist-sample --out demo/run
	$(BIN)/vaedge export demo/run --out demo/bundle
	$(BIN)/vaedge check demo/bundle
	$(BIN)/vaedge sample demo/bundle -n 64 --seed 0 --out demo/samples.png
	$(BIN)/vaedge reconstruct demo/bundle demo/run/examples.npz --out demo/reconstructions.png
	@echo "See demo/samples.png and demo/reconstructions.png."

# Install what the tests of the JavaScript runtime need: Node, Chromium, and the npm packages of the lockfile.
setup-web:
	command -v npm > /dev/null || { $(APT) update && $(APT) install -y nodejs npm; }
	command -v chromium-headless-shell > /dev/null || command -v chromium > /dev/null || command -v google-chrome > /dev/null \
		|| { $(APT) update && $(APT) install -y chromium-headless-shell fonts-dejavu-core; }
	npm ci --prefix $(WEB) --ignore-scripts --no-audit --no-fund

test: $(READY)
	$(PYTEST)
	@[ -d $(WEB)/node_modules ] || echo "The tests of the JavaScript runtime were left out: they need 'make setup-web'."

test-slow: $(READY)
	$(BIN)/pytest -m slow

# Run the tests of the runtime with the oldest supported numpy and ONNX Runtime, and with the newest ones.
test-matrix: $(READY)
	$(BIN)/pytest -m matrix

# Run the tests that need a GPU. Before it, exchange onnxruntime for onnxruntime-gpu in .venv.
test-gpu: $(READY)
	$(BIN)/pytest -m gpu

# Measure the branches of the runtime that its own tests reach.
coverage: $(READY)
	$(PYTEST) --cov --cov-report=term-missing:skip-covered tests/runtime tests/pipeline

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/python tests/banned_words.py
	$(BIN)/mypy
	[ ! -d $(WEB)/node_modules ] || { $(WEB)/node_modules/.bin/tsc --project $(WEB) && $(WEB)/node_modules/.bin/prettier \
		--log-level warn --check '$(WEB)/*.js' '$(WEB)/explorer/*.{js,css}' 'tests/web/**/*.mjs'; }
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site
	@echo "Open build/site/index.html, or run '$(BIN)/mkdocs serve' while you write."

bench: $(READY)
	$(BIN)/python benchmarks --data-dir $(DATA_DIR)

# Train the shipped bundles again, on all of MNIST, with the commands that their cards print. Takes some hours.
models: $(READY)
	rm -rf runs/article runs/mnist runs/mnist-conv
	$(BIN)/vaedge train --dataset mnist --data-dir $(DATA_DIR) --out runs/article
	$(BIN)/vaedge train --recipe best --data-dir $(DATA_DIR) --out runs/mnist
	$(BIN)/vaedge train --recipe mnist-conv --data-dir $(DATA_DIR) --out runs/mnist-conv
	for seed in 0 1 2; do $(BIN)/vaedge evaluate runs/mnist -k 5000 --seed $$seed --data-dir $(DATA_DIR); done
	$(BIN)/vaedge evaluate runs/mnist-conv -k 500 --data-dir $(DATA_DIR)
	rm -rf models/article models/mnist models/mnist-conv
	$(BIN)/vaedge export runs/article --out models/article --variants int8
	$(BIN)/vaedge export runs/mnist --out models/mnist --variants int8 --note "Trained on all 60,000 training images, without a \
	validation part and without a look at the test images. Published single-layer MLPs under the same protocol: \
	84.45 nats with N(0, I), 82.43 with a VampPrior, 82.09 with an Exemplar prior (Norouzi et al. 2020)."
	$(BIN)/vaedge export runs/mnist-conv --out models/mnist-conv --variants int8

# Write constraints.txt: resolve all extras for Python 3.11 without installing them. The versions that it lists are kept.
# To update a package, remove its line first.
constraints: $(READY)
	mkdir -p build
	$(BIN)/pip install --quiet --dry-run --ignore-installed --constraint constraints.txt --report build/resolved.json \
		--editable '.[$(EXTRAS)]'
	$(BIN)/python tests/requirements/constraints.py build/resolved.json > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf demo dist build

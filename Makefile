# Two commands do everything: `make demo` and `make test`. Both make .venv first if needed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test slow lint bench clean install
install: $(READY)

# torch is named on its own and pinned: a plain `torch` pulls gigabytes of CUDA packages.
# SpikingJelly and NeuroBench ask for torchvision and torchaudio, sinabs for a vendor's SDK, which
# nothing here needs: hence --no-deps. The last two are what tests compare energy counts with.
$(READY): pyproject.toml constraints.txt scripts/install_lava.py
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	$(PIP) torch==2.13.0
	$(PIP) loguru SciencePlots tensorboard tqdm pbr
	$(PIP) -e '.[examples,test]'
	$(PIP) --no-deps spikingjelly==2.0.0 neurobench==2.3.0 sinabs==3.1.3
	$(BIN)/python scripts/install_lava.py
	touch $@

demo: $(READY)
	$(BIN)/python -m examples.digits.demo

test: $(READY)
	$(BIN)/python -m pytest -n auto -m "not slow"

slow: $(READY)
	$(BIN)/python -m pytest -n auto -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/typecheck.py

bench: $(READY)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info demo-out bench-out

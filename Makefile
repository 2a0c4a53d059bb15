# make test   install everything into a virtual environment of its own, check style and types, run all tests
# make lint   style and types only
# make docs   the site, in site/; a broken link is a mistake
# make wheel  one wheel for this platform, every Python 3 and every torch, in dist/
# make wheels one for each platform of setup.py, from this machine, in dist/; the first run takes half an hour
# make clean  remove what was built

PYTHON ?= python3
VENV ?= .venv-test
TORCH ?= torch==2.13.0
BIN = $(VENV)/bin
PACKAGES = kernels/mambair_kernels archs/mambair_archs mambair_cli

.PHONY: test lint docs wheel wheels clean

# Several test processes share the cores: threads that spin while they wait would take turns with those that work.
test: export OMP_WAIT_POLICY = passive
test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 $(PACKAGES)
	$(BIN)/mypy --platform darwin $(PACKAGES)

docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

wheel: $(VENV)/installed
	rm -rf build
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

PLATFORMS ?= win_amd64 win_arm64 macosx_11_0_arm64 macosx_11_0_x86_64 manylinux_2_28_x86_64 manylinux_2_28_aarch64

wheels: $(VENV)/installed
	$(BIN)/pip install --quiet ziglang==0.17.1
	for platform in $(PLATFORMS); do \
	    rm -rf build && MAMBAIR_WHEEL_PLATFORM=$$platform \
	    $(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . && \
	    $(BIN)/python benchmarks/check_wheel.py dist/mambair-*-$$platform.whl || exit 1; \
	done

$(VENV)/installed: pyproject.toml setup.py Makefile $(wildcard kernels/csrc/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip "setuptools>=77"
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable '.[train,large,formats,video,dev]'
	$(BIN)/pip install --quiet --no-build-isolation --no-deps basicsr==1.4.2
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

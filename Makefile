# make demo   install, and segment a real 3D image into demo_output/
# make test   install, and check everything: lint, types, import contracts, engine, widgets, viewer
# make test-long   what takes too long for that: kills, soaks, everything there is; stopped, it goes on where it was
# make sbom   list what is installed, as CycloneDX: sbom.json
# make audit   ask for known advisories about what is installed; needs the network
# make fuzz   10,000 mutated inputs of every kind: each gives a result or is refused (make fuzz INPUTS=500 SEED=7)
# make kills   2,000 kills in the middle of everything that is written: nothing torn, lost or left over
# make engine ISA=AVX2   as on a processor without AVX-512; ISA=AVX512_CORE as with it, but without bfloat16 (any target)

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
INSTALL := $(BIN)/python -m pip install -qq --constraint constraints.txt

# What Qt and a virtual display need on Debian.
LIBRARIES := xvfb xauth libegl1 libgl1 libglx-mesa0 libopengl0 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 \
	libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libdbus-1-3
XVFB := xvfb-run --auto-servernum --server-args="-screen 0 1280x1024x24"

# oneDNN, inside torch, takes at most these instructions; the processes that tests start inherit it.
ifdef ISA
export ONEDNN_MAX_CPU_ISA := $(ISA)
endif

# Processes share the cores here: a thread that spins while it waits takes them from the others.
export OMP_WAIT_POLICY ?= PASSIVE

IN_VIEWER := tests/plugin tests/faults/test_in_the_viewer.py

.PHONY: demo test test-long lint engine viewer benchmark fuzz kills sbom audit display clean

demo: .venv/base
	$(BIN)/napari-unetseg demo -o demo_output

# Two cores are busy: the viewer's tests mostly wait for timers and processes. What each says is shown at its end.
test: .venv/test display lint
	@echo "Testing the engine, and the widgets in a viewer; this takes some minutes."
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target engine viewer

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

engine: .venv/test
	$(BIN)/python -m pytest $(addprefix --ignore=,$(IN_VIEWER))

viewer: .venv/test display
	$(XVFB) $(BIN)/python -m pytest $(IN_VIEWER)

test-long: .venv/test display
	$(XVFB) $(BIN)/python -m pytest -m long --resume

benchmark: .venv/test
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/metrics.py

# The tools for these have an environment of their own: what is installed with the program does not grow.
TOOLS := .venv-security/bin

sbom: .venv/base .venv-security/tools
	$(TOOLS)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json $(BIN)/python
	@echo "sbom.json lists what is installed in .venv."

audit: .venv/base .venv-security/tools
	@$(TOOLS)/python security/audit.py $(TOOLS)/pip-audit $(BIN)/python

.venv-security/tools: security/requirements.txt
	@$(PYTHON) -m venv .venv-security
	@$(TOOLS)/python -m pip install -qq -r security/requirements.txt >/dev/null 2>&1 || { \
		echo "error: pip-audit and cyclonedx-bom cannot be installed. Is there a network? Nothing was listed or audited." >&2; \
		exit 2; }
	@touch $@

INPUTS ?= 10000
KILLS ?= 2000
SEED ?= 0

fuzz: .venv/test
	$(BIN)/python -m faults.fuzz --inputs $(INPUTS) --seed $(SEED)

kills: .venv/test
	$(BIN)/python -m faults.kills --kills $(KILLS) --seed $(SEED)

# torch comes first: what depends on it would otherwise bring a build of its own choice.
.venv/base: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv; this takes some minutes."
	$(INSTALL) torch
	$(INSTALL) --editable .
	@touch $@

.venv/test: .venv/base
	$(INSTALL) --editable '.[all,dev]'
	@touch $@

# Viewer tests need a (virtual) display. Its libraries are installed where that is allowed, and asked for elsewhere.
display:
	@missing=$$(for name in $(LIBRARIES); do dpkg --status $$name >/dev/null 2>&1 || echo $$name; done | tr '\n' ' '); \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing $$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	elif [ -n "$$missing" ]; then \
		echo "These may be missing for the viewer's tests: $$missing"; \
	fi
	@command -v xvfb-run >/dev/null || { \
		echo "NO DISPLAY: the viewer's tests need xvfb-run, which is not installed and cannot be installed from here."; \
		echo "Install it (sudo apt-get install $(LIBRARIES)) and run make test again."; \
		exit 1; }

clean:
	rm -rf .venv .venv-security sbom.json demo_output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

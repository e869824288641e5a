# make lab    open your copies of the lectures in JupyterLab (sets everything up first)
# make check  lint, types and the fast tests, under a minute (sets everything up first)
# make test   make check, then all other tests and the notebooks
# make setup  only set up: a virtual environment in .venv; a second call returns at once
# make site   the lectures as web pages, in site/: open site/index.html
# make slides a deck for each lecture, in slides/
# make class  an nbgrader course with the lectures as assignments, in class/, or in a folder: make class OUT=~/course
# make notebooks   execute the notebooks from their text twins and store the outputs

PYTHON ?= python3
VENV   ?= .venv
PORT   ?=
OUT    ?= class
REVEAL ?=
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Small models run fastest on one thread, and idle threads of several processes slow each other down.
export OMP_NUM_THREADS ?= 1

# Tests on all cores; those of one file or notebook stay together, in their order, where they are slow.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 8

.PHONY: setup lab check test site slides class notebooks

setup: $(READY)

# The stamp is written last: after an interrupted install, the next call does what is missing.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
	  || { echo "The course needs Python 3.10 or newer as $(PYTHON); install it, or name another with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	  || { echo "$(PYTHON) cannot make a virtual environment in $(VENV); on Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV): about 6 GB with PyTorch, a few minutes, once."
	@$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[test]' \
	  || { echo "The installation did not finish. The first one needs a network and 7 GB of disk; run the same command again and it goes on."; exit 1; }
	@touch $@

lab: $(READY)
	@$(BIN)/debias-course lab $(if $(PORT),--port $(PORT))

check: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(PYTEST) -m "not slow" tests

# check has run the fast tests; the notebooks are marked as slow.
test: check
	@$(PYTEST) --dist loadfile -m slow tests notebooks

site: $(READY)
	@$(BIN)/python assets/site/make.py

slides: $(READY)
	@$(BIN)/python assets/site/slides.py

# REVEAL=yes leaves the exercises' reveal() on, which prints their solutions.
class: $(READY)
	@$(BIN)/python assets/class/course.py $(if $(REVEAL),--reveal) "$(OUT)"

notebooks: $(READY)
	@$(BIN)/python notebooks/execute.py

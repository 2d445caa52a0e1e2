# `make lab` opens the lessons in my_lessons, `make test` runs every test. PYTHON=python3.12 chooses an interpreter.
PYTHON ?= python3
VENV := .venv
# Jupyter refuses to run as root (containers, CI) unless told.
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test clean

lab: $(VENV)/lab.stamp
	$(VENV)/bin/python -m kit lessons my_lessons
	$(VENV)/bin/jupyter lab $(ALLOW_ROOT) --notebook-dir=my_lessons my_lessons/00_start.ipynb

test: $(VENV)/test.stamp
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder

$(VENV)/lab.stamp: SPEC := .
$(VENV)/test.stamp: SPEC := .[test]

$(VENV)/%.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Python 3.11 or newer is needed. Name one: make $* PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	{ echo "This Python cannot make environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "What is needed is installed into $(VENV): about a minute, more where the network is slow."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --constraint constraints.txt --editable '$(SPEC)'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

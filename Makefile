# make demo         factored in front of its demo site on http://127.0.0.1:8000, with a user to log in as
# make test         the quick tests
# make bench        what it costs, beside its peers (QUICK=1, FULL=1, NAME=gate)
# make check        everything that must hold before a release
# make locale       the catalogues of translations, made anew from the sources
# make screenshots  the pictures in docs/images, of the pages as they are now
#
# Needs Python 3.10 or newer, with venv. Another one than python3: make test PYTHON=python3.12

PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
MADE_FROM = setup.py pyproject.toml Makefile
DEMO_USER = demo@example.com
DIST = build/dist

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types docs package peers bench locale screenshots clean

help:
	@sed -n 's/^# make /make /p' Makefile

# -- the environment: a stamp for each set of packages, so that a second run is quick -------------

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "factored needs Python 3.10 or newer: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) has no venv (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.made $(MADE_FROM)
	@echo "Installing factored into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.made $(MADE_FROM)
	@echo "Installing factored and what its tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@ $(VENV)/.installed

$(VENV)/.check: $(VENV)/.test
	@echo "Installing what the checks need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable ".[test,check,browser]"
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	@echo "Installing what factored is compared with into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable ".[test,bench]"
	@touch $@

# -- a first look ---------------------------------------------------------------------------------

SHOW = $(BIN)/factored user show develop.ini --username=$(DEMO_USER) --show-secret
ADD = $(BIN)/factored user add develop.ini --username=$(DEMO_USER)

# Exit status 3: there is no such user yet.
demo: $(VENV)/.installed
	@$(BIN)/factored init develop.ini
	@$(SHOW) 2> /dev/null || if test $$? -eq 3; then $(ADD); else $(SHOW); fi
	@echo
	@echo "1. Scan the QR code with an authenticator app, or type the secret into it."
	@echo "2. Open http://127.0.0.1:8000 and log in as $(DEMO_USER) with the app's six digits."
	@echo "   Ctrl-C ends the server; the next make demo keeps user and secret."
	@echo
	@exec $(BIN)/pserve develop.ini

# -- tests ----------------------------------------------------------------------------------------

# Without those that start servers and browsers; they are part of make check.
test: $(VENV)/.test
	$(BIN)/python -m pytest -q --ignore=tests/peers --ignore=tests/browser $(OPTIONS)

# FACTORED_REQUIRE_PEERS=1 makes absent servers a failure; FACTORED_FULL=1 adds what takes long.
peers: $(VENV)/.test
	$(BIN)/python -m pytest tests/peers $(OPTIONS)

# The tests come last: what a test runner says last is what one reads. Two runs at once: those of
# make test need one processor, and are all that coverage sees; the others wait for their servers.
check: lint types docs package
	@mkdir -p build; $(MAKE) test OPTIONS="$(COVERED)" > build/test.txt 2>&1 & running=$$!; \
	$(MAKE) peers OPTIONS=tests/browser; peers=$$?; \
	wait $$running; test=$$?; cat build/test.txt; exit $$((peers | test))

COVERED = --cov --cov-report=term --cov-fail-under=97

lint: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.check
	$(BIN)/mypy

docs: $(VENV)/.check
	@if test -f docs/conf.py; then \
	  echo "sphinx-build -W docs docs/_build/html"; \
	  $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html; \
	else echo "docs/conf.py is not there yet: no documentation is built"; fi

# Every file that a page is made of must be in the wheel.
define PAGES
import webob
from paste.deploy import loadapp
app = loadapp("config:develop.ini", relative_to=".")
for path in ("/auth/ga", "/auth/logout", "/auth/authstatic/style.css", "/auth/readyz"):
    answer = webob.Request.blank(path).get_response(app)
    assert answer.status_int == 200, (path, answer)
endef
export PAGES

# Source archive and wheel; the wheel must work where nothing else is.
package: $(VENV)/.check
	@rm -rf $(DIST) build/empty && mkdir -p build
	$(BIN)/python -m build --outdir $(DIST) . > build/output.txt 2>&1 || \
	  { cat build/output.txt; exit 1; }
	$(PYTHON) -m venv build/empty
	build/empty/bin/python -m pip install --quiet $(DIST)/*.whl
	cp develop.ini build/empty/
	cd build/empty && bin/factored --version && bin/factored init develop.ini && \
	  bin/factored user add develop.ini --username=$(DEMO_USER) --json > /dev/null && \
	  bin/python -c "$$PAGES"
	@rm -rf build/empty

# Needs chromium, zbarimg and oathtool, as tests/browser does.
screenshots: $(VENV)/.check
	$(BIN)/python -m tests.browser.screenshots

# A few minutes; QUICK=1 for less than one, FULL=1 for as many samples as the promises name.
# One of them: make bench NAME=gate. Tables here, and as JSON in build/bench.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)$(if $(FULL),--full) $(NAME)

# New messages come out untranslated, and a test says so: docs/translating.rst.
locale: $(VENV)/.test
	$(BIN)/python -m tests.catalogues

# Users, keys and database of make demo stay: factored.* beside develop.ini.
clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage
	find factored tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +

# make quickstart   the environment, the study of config/config.yaml, and results/report.html
# make test         the environment, and all tests
# make env          the environment alone: .venv, from requirements.lock
# make lint         the style, types and rule files alone, without tests
# make gate         hostile files with 500 seeds each, and a study that is killed ten times
# make audit        known vulnerabilities of the locked packages, where their database can be reached
# make lock         resolve requirements.lock anew from pyproject.toml
# make help         this list

CORES ?= $(shell nproc)
STAMP := .venv/.made-from-lock
OURS  := .venv/.ours-installed
WITH  := PATH="$(CURDIR)/.venv/bin:$$PATH"

.PHONY: quickstart test env lint gate audit lock help
.DELETE_ON_ERROR:

quickstart: env
	@$(WITH) envs/timed "Quickstart study on $(CORES) cores" snakemake --cores $(CORES)
	@test results/report.html -nt results/figures/fig4.pdf || { \
	  $(WITH) envs/timed "Report" snakemake --report results/.report.html --quiet all && \
	  mv -f results/.report.html results/report.html; } || { rm -f results/.report.html; exit 1; }
	@echo "Figures: results/figures/  Tables: results/tables/  Report: results/report.html"

test: env
	@$(WITH) envs/timed "Style of the code" ruff check .
	@$(WITH) envs/timed "Types" mypy
	@$(WITH) envs/timed "Tests on $(CORES) cores" pytest -n $(CORES) --dist loadfile --durations 15 || \
	  { test $$? = 1 && $(WITH) envs/timed "The failed tests once more, alone" pytest -v --last-failed; }

lint: env
	@$(WITH) ruff check .
	@$(WITH) mypy
	@$(WITH) snakefmt --check Snakefile workflow/Snakefile workflow/rules

gate: env
	@FALSEPROMISE_FUZZ=500 FALSEPROMISE_KILLS=10 $(WITH) envs/timed "Hostile files and kills" \
	  pytest tests/hostile tests/e2e/test_kills.py

audit: env
	@envs/audit

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

env: $(OURS)

# uv comes by pip from a hash-pinned file; it installs the locked packages, from the index that pip is set to.
$(STAMP): requirements.lock envs/uv.lock
	@python=$$(envs/python) && envs/timed "Environment in .venv with $$python" "$$python" -m venv --clear .venv
	@envs/timed "Installer" .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r envs/uv.lock
	@index=$$(.venv/bin/pip config get global.index-url 2>/dev/null); \
	  $${index:+env UV_DEFAULT_INDEX=$$index} envs/timed "Packages of requirements.lock" \
	  .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock
	@touch $@

# This checkout's package and its SLURM executor, as they are in the checkout: an edit counts at once.
$(OURS): $(STAMP) pyproject.toml executor/pyproject.toml
	@envs/timed "Our own packages" .venv/bin/uv pip install --quiet --offline --no-deps --no-build-isolation \
	  --python .venv/bin/python --editable . --editable ./executor
	@touch $@

lock:
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra test pyproject.toml --output-file requirements.lock

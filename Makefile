# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test check bench clean help
help:            ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[server,openfeature,postgres]' --group dev
	@touch $@

demo: $(STAMP)   ## set up, then run the main job on embedded storage (about two minutes)
	@$(BIN)/trimtab demo $(DEMO_ARGS)

test: $(STAMP)   ## set up, then run every check and every test
	@$(BIN)/just check
	@$(BIN)/just test
	@$(BIN)/just test-compiled

check: $(STAMP)  ## lint, types, architecture
	@$(BIN)/just check

bench: $(STAMP)  ## benchmarks (paired with a peer or a floor)
	@$(BIN)/just bench

clean:           ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

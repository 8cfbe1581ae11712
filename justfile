bin := justfile_directory() / ".venv/bin"
export PATH := bin + ":" + env("PATH")

# what there is
default:
    @just --list

# lint, types, architecture
check:
    ruff check .
    ruff format --check .
    mypy
    lint-imports
    deptry src

# mend what can be mended by itself
fix:
    ruff check --fix .
    ruff format .

# every test; ARGS go to pytest
test *ARGS:
    pytest -n 2 --dist loadfile {{ARGS}}

# the data plane's tests once more, compiled as its wheels are; ARGS go to pytest
test-compiled *ARGS:
    python -m tests.compiled {{ARGS}}

# tests with branch coverage
coverage:
    pytest -n 2 --dist loadfile --cov --cov-report=term

# any bytes at the HTTP server (or `upstream`): `just fuzz server --minutes 10`
fuzz *ARGS:
    python -m tests.fuzz {{ARGS}}

# kill, freeze, fill, cut, tear while rollouts run, then reckon: `just chaos --kills 200 --seed 1`; `--postgres`
chaos *ARGS:
    python -m tests.chaos {{ARGS}}

# benchmarks, each paired with a peer or a floor in the same run
bench *ARGS:
    python -m benchmarks {{ARGS}}

# everything beside its peers in one run (installs them under .bench/); writes benchmarks/RESULTS.md; --quick for a look
bench-peers *ARGS:
    python -m benchmarks peers {{ARGS}}

# memory of one gateway worker over two million requests
soak *ARGS:
    python -m benchmarks soak {{ARGS}}

# what rollouts promise, over thousands of seeded ones, a look after every event; `--write` puts the figures into the docs
simulate *ARGS:
    python -m benchmarks simulate {{ARGS}}

# write the generated pages of docs/reference
reference:
    python scripts/generate_reference.py

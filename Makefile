# What CI runs, by the same names. `make check` is everything.
.PHONY: check test lint slow bench docs

check: test lint

test:
	commands/test.sh

lint:
	ruff check .
	ruff format --check .
	mypy
	@command -v shellcheck >/dev/null && shellcheck -x container-login.sh commands/*.sh .ci/run || echo "shellcheck is not installed"

slow:
	commands/test.sh -m slow

bench:
	commands/test.sh -m bench

docs:
	commands/test.sh --doctest-modules taolite tests/test_shipped.py

# What CI runs, by the same names. `make check` is everything that a change has to pass.
.PHONY: check test lint slow gpu bench docs site

check: test lint

test:
	commands/test.sh

lint:
	.ci/lint

slow:
	commands/test.sh -m slow

gpu:
	commands/test.sh -m gpu

bench:
	commands/test.sh -m bench

docs:
	commands/test.sh --doctest-modules taolite tests/test_shipped.py tests/test_documents.py

site:
	.ci/site

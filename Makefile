# The verbs of this project. Each calls one script in tools/, which does all set-up it needs (Debian
# packages, virtual environments, the build) and is quick when that is done. `make` shows the list.
# PYTHON=3.14 chooses the interpreter of a target, PYTHONS="3.13 3.14" those of `test`.
PYTHONS ?=

.PHONY: help demo test test-all dev lint bench wheel asan tsan coverage docs clean
help:
	@echo 'make demo            a tour: what runs native, and how it compares with asyncio here'
	@echo 'make test            all tests on one Python; PYTHONS="3.13 3.14" for others'
	@echo 'make test-all        five Pythons, plain and installed, large example counts, full lint'
	@echo 'make dev             a virtual environment with all tools, and the extension built in place'
	@echo 'make lint            every check that needs no run of the package'
	@echo 'make bench           measure beside asyncio and other loops'
	@echo 'make wheel           a repaired wheel in dist/, smoke-tested in an empty environment'
	@echo 'make asan | tsan     the tests under the sanitizers'
	@echo 'make coverage        which lines of C++ and Python the unit tests reach'
	@echo 'make docs | clean    the manual in build/docs; remove all that was built'
	@echo 'PYTHON=3.14 before or after a target chooses its interpreter'

demo:     ; @tools/demo.sh
test:     ; @tools/test.sh $(PYTHONS)
test-all: ; @tools/test_all.sh
dev:      ; @tools/dev.sh
lint:     ; @tools/lint.sh
bench:    ; @tools/bench.sh
wheel:    ; @tools/wheel.sh
asan:     ; @tools/sanitize.sh asan
tsan:     ; @tools/sanitize.sh tsan
coverage: ; @tools/coverage.sh
docs:     ; @tools/docs.sh
clean:    ; @tools/clean.sh

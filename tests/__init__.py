"""The project's own tests; `tests.conformance` runs CPython's."""

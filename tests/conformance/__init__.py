"""CPython's own asyncio suite, run against another implementation.

The test classes are not copied: they are derived at run time from the `test.test_asyncio` of the
running interpreter, so each version brings the tests that belong to it.  `python -m
tests.conformance` runs them, `registry.toml` names what is known to differ and why.
"""

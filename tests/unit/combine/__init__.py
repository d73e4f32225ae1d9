"""Tests of what is built from futures and tasks: the room `src/combine`."""

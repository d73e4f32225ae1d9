"""Tests of src/combine."""

"""Tests of the rooms of `src` and of the package, one folder a room."""

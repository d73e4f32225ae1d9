"""Tests of gather, wait, shield, as_completed and the functions around them."""

"""The pages list the differences that the registry has, and each is shown by a test."""

from __future__ import annotations

import ast

import pytest

from tests.conformance.differences import PAGES, ROOT, Difference, load_differences, written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_written(page: object) -> None:
    text = page.read_text()  # type: ignore[attr-defined]
    assert "<!-- differences " in text
    assert written(text) == text, "run python -m tests.conformance.differences"


@pytest.mark.parametrize("row", load_differences(), ids=lambda row: row.subject)
def test_a_test_shows_it(row: Difference) -> None:
    path, _, name = row.test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    defined = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert name in defined


def test_an_unknown_list_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such list"):
        written("<!-- differences none -->\n<!-- end of differences -->")

"""Docstrings name their subject: none opens with a headless "What …" or "Whether …". A question is allowed."""

import ast
import re

import pytest

from benchmarks.server_process import ROOT

HEADLESS = re.compile(r"(What|Who|Which|How|Whether|Where|Whom|Whatever)\b[^?.:]*(\.|:|$)")


@pytest.mark.parametrize("package", ["models", "exporting", "scoring", "training", "server", "clients/python", "benchmarks"])
def test_docstrings_name_their_subject(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {docstring[:60]}"
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if HEADLESS.match(docstring := ast.get_docstring(node) or "")
    ]
    assert not wrong

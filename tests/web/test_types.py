"""The fields that the page reads are fields that the server's replies have."""

import re

import httpx
import pytest

from benchmarks.server_process import ROOT

_TYPES = (ROOT / "clients" / "web" / "src" / "api" / "types.ts").read_text()
_INTERFACES = dict(re.findall(r"export interface (\w+)(?: extends \w+)? \{(.*?)\n\}", _TYPES, re.DOTALL))


@pytest.mark.parametrize("name", _INTERFACES)
def test_an_interface_has_fields_of_its_schema(api: httpx.Client, name: str) -> None:
    schema = api.get("/openapi.json").json()["components"]["schemas"][name]
    fields = set(re.findall(r"^  (\w+):", _INTERFACES[name], re.MULTILINE))
    assert fields
    assert fields <= schema["properties"].keys()

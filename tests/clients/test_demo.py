"""`make demo`, as a newcomer runs it."""

import os
import re
import subprocess
import sys

from benchmarks.server_process import ROOT
from tests.helpers.samples import SAMPLES

_CALLED = r"none of these \(\w+\?\)|\w+"
_ROW = re.compile(rf"^ +(?P<name>\w+) +(?P<shows>something else|\w+) +(?P<called>{_CALLED}) +(?P<sure>\d+%)? +(?P<mark>[✓✗?]) *$")


def test_it_shows_every_photograph_and_calls_right_what_the_server_stands_by() -> None:
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "clients/demo.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = [match.groupdict() for match in map(_ROW.match, done.stdout.splitlines()) if match]
    photographs = [*sorted(SAMPLES.glob("query/*/*.jpg")), *sorted(SAMPLES.glob("stranger/*.jpg"))]
    assert [row["name"] for row in rows] == [path.stem for path in photographs]
    for row, path in zip(rows, photographs, strict=True):
        unknown, stranger = row["called"].startswith("none of these"), path.parent.name == "stranger"
        assert row["shows"] == ("something else" if stranger else path.parent.name)
        if unknown:
            assert (row["mark"], row["sure"]) == ("✓" if stranger else "?", None)
        else:
            assert row["mark"] == ("✓" if row["called"] == row["shows"] else "✗")
    members = [row["mark"] for row in rows if row["shows"] != "something else"]
    counts = f"{members.count('✓')} right, {members.count('?')} called none of these, {members.count('✗')} wrong."
    assert f"Of 25 photographs of these kinds: {counts}" in done.stdout
    assert members.count("✓") >= 20, "chance is 5"
    assert "The server has stopped cleanly" in done.stdout

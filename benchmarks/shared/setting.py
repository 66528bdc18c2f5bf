"""The setting of the benchmarks of serving: a small shipped bundle, the sample images, and a task of them."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from models.bundle import PAPER_BUNDLE, SHIPPED, Bundle, find_bundles, open_bundle

if TYPE_CHECKING:  # A peer's environment imports this too, and has no httpx.
    from collections.abc import Sequence

    import httpx

SAMPLES = Path(__file__).parent.parent.parent / "clients" / "samples"


def paper_bundle() -> Bundle:
    """Returns the bundle of the benchmarks' new tasks. It is so small that the server does most of the work."""
    return open_bundle(find_bundles(SHIPPED)[PAPER_BUNDLE])


def support_set(shots: int = 5) -> list[tuple[str, bytes]]:
    """Returns labelled sample images of five classes."""
    folders = sorted((SAMPLES / "support").iterdir())
    return [(folder.name, _small(path)) for folder in folders for path in sorted(folder.glob("*.jpg"))[:shots]]


def sample_images() -> list[bytes]:
    """Returns other images of the same classes."""
    return [_small(path) for path in sorted((SAMPLES / "query").glob("*/*.jpg"))]


def _small(photograph: Path) -> bytes:
    """Returns a PNG of 32 x 32 pixels, so that decoding costs little; `benchmarks.decode` measures that of photographs."""
    file = io.BytesIO()
    with Image.open(photograph) as image:
        ImageOps.fit(image, (32, 32), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def creation(support: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    """Returns the files and data, as httpx takes them, of the form that creates a task."""
    return {"files": [("images", image) for _, image in support], "data": {"labels": [label for label, _ in support]}}


def create_task(api: httpx.Client, support: Sequence[tuple[str, bytes]]) -> str:
    """Creates a task and returns its path."""
    reply = api.post("/v1/tasks", **creation(support)).raise_for_status()
    return str(reply.headers["location"])


def resident(process: int) -> int:
    """Returns the resident memory of a process, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def family(process: int) -> list[int]:
    """Returns a process and its children, by their ids."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *map(int, children)]


def processor_seconds(process: int) -> float:
    """Returns the processor time that a process has taken, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()  # those after its name
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

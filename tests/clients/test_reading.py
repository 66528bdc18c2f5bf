"""Images are read on a thread, unless they are in memory already."""

import io
from pathlib import Path

import pytest

from headstart.http.steps import Work
from headstart.images.kinds import Image
from headstart.reading import read


def test_bytes_take_no_step() -> None:
    with pytest.raises(StopIteration) as done:
        next(read([(0, "a", b"1"), (1, None, b"2")]))
    assert [(image.name, image.content, image.label) for image in done.value.value] == [
        ("image 1", b"1", "a"),
        ("image 2", b"2", None),
    ]


@pytest.mark.parametrize("form", ["path", "file"])
def test_what_may_block_is_a_step(form: str, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(b"1")
    given: Image = path if form == "path" else io.BytesIO(b"1")
    step = next(read([(0, "a", b"0"), (1, "b", given)]))
    assert isinstance(step, Work)
    assert [image.content for image in step.function()] == [b"0", b"1"]

"""An export that fails leaves nothing behind, and the next one works."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

import pytest

import exporting.coreml.model as coreml
from exporting.whole import written_whole
from headstart.__main__ import main
from tests.helpers.classifiers import classifier_of


def test_what_is_written_appears_at_the_end_and_replaces_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a.mlpackage"
    with written_whole(folder) as whole:
        whole.mkdir()
        (whole / "file").write_text("content")
        assert whole.suffix == folder.suffix
        assert not folder.exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["a.mlpackage", "file"]
    with pytest.raises(FileExistsError), written_whole(folder):
        pytest.fail("it has begun")


def full(*_: object, **__: object) -> Never:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_space_for_bytes(patch: pytest.MonkeyPatch) -> None:
    """Lets the writing of bytes fail in the middle."""
    write = Path.write_bytes

    def half(path: Path, data: bytes) -> Never:
        write(path, data[: len(data) // 2])
        full()

    patch.setattr(Path, "write_bytes", half)


def no_space_for_text(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "write_text", full)


def no_space_for_package(patch: pytest.MonkeyPatch) -> None:
    """Lets a package's saving fail in the middle, without the minutes of its conversion."""

    class Model:
        def __init__(self) -> None:
            self.user_defined_metadata: dict[str, str] = {}

        def save(self, path: str) -> None:
            (Path(path) / "Data").mkdir(parents=True)
            full()

    patch.setattr(coreml, "_converted", lambda *_: Model())


@pytest.mark.parametrize(
    ("form", "name", "break_it"),
    [
        ("onnx", "a.onnx", no_space_for_bytes),
        ("tflite", "a", no_space_for_text),
        ("web", "a", no_space_for_text),
        ("coreml", "a.mlpackage", no_space_for_package),
    ],
)
def test_a_failed_export_leaves_nothing(
    form: str, name: str, break_it: Callable[[pytest.MonkeyPatch], Any], shipped_bundle: Path, tmp_path: Path
) -> None:
    source, made = tmp_path / "c.safetensors", tmp_path / "made"
    source.write_bytes(classifier_of(shipped_bundle, "task_1", "c").to_bytes())
    made.mkdir()
    export = ["export", str(source), "--format", form, "--out", str(made / name)]
    with pytest.MonkeyPatch.context() as patch:
        break_it(patch)
        assert main(export) != 0
    assert list(made.iterdir()) == []
    if form != "coreml":
        assert main(export) == 0
        assert [each.name for each in made.iterdir()] == [name]

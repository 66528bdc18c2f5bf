"""A repository's folder, opened: what is in it, and what is refused. No code of it runs, and nothing in it is unpickled."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.export.bundle import ExportError

CONFIG = "config.json"
PREPROCESSOR = ("preprocessor_config.json", "processor_config.json")  # the latter as of version 5 of transformers
TOKENIZER_CONFIG = "tokenizer_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# The layout of transformers.js: one network, or the image tower of two.
ONNX_FILES = ("onnx/model.onnx", "onnx/vision_model.onnx")

_MOST = 64 << 20  # bytes of a JSON file
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")


@dataclass(frozen=True)
class HubFolder:
    """A folder that may be imported.

    Attributes:
        config: the contents of `config.json`.
        weights: the safetensors files of the network; empty where only ONNX is there.
        onnx: the file to take then.
    """

    path: Path
    config: dict[str, Any]
    weights: tuple[Path, ...]
    onnx: Path | None

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def family(self) -> str:
        """The name that transformers has for the network's kind, such as `dinov2`."""
        return str(self.config.get("model_type", ""))


def open_folder(path: Path) -> HubFolder:
    """Opens a folder.

    Raises:
        ExportError: it is none, lacks a file, has weights only as pickles, is quantised, or wants to run code of its own.
    """
    if not path.is_dir():
        raise ExportError(f"hf:{path}: there is no such folder; download the repository first, and name its folder")
    if not (path / CONFIG).is_file():
        raise ExportError(f"{path} has no {CONFIG}; give the folder of a Hugging Face repository")
    config = read_json(path / CONFIG)
    for name in (CONFIG, *PREPROCESSOR, TOKENIZER_CONFIG):
        if (path / name).is_file() and "auto_map" in (config if name == CONFIG else read_json(path / name)):
            raise ExportError(f"{path / name} names Python code of the repository's own (auto_map), which is never run")
    if "quantization_config" in config:
        raise ExportError(f"{path} holds quantised weights; give the original ones, and the export quantises them itself")
    if not any((path / name).is_file() for name in PREPROCESSOR):
        raise ExportError(f"{path} has no {PREPROCESSOR[0]}, which says how images are fitted and normalised")
    weights = _weights(path)
    found = next((path / name for name in ONNX_FILES if (path / name).is_file()), None)
    if not weights and found is None:
        raise ExportError(_without_weights(path))
    return HubFolder(path, config, weights, None if weights else found)


def read_json(path: Path) -> dict[str, Any]:
    """Reads an object from a JSON file.

    Raises:
        ExportError: it holds none, or is larger than 64 MB.
    """
    try:
        if path.stat().st_size > _MOST:
            raise ExportError(f"{path} is larger than {_MOST >> 20} MB")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path} is no JSON file: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise ExportError(f"{path} holds a {type(found).__name__}, not an object")
    return found


def _weights(path: Path) -> tuple[Path, ...]:
    """Returns the files of weights: one, or all that the index of a sharded network names."""
    if (path / WEIGHTS).is_file():
        return (path / WEIGHTS,)
    if not (path / INDEX).is_file():
        return ()
    shards = read_json(path / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise ExportError(f"{path / INDEX} does not say which file holds which weight")
    names = sorted(set(shards.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ExportError(f"{path / INDEX} names {name!r}, which is no safetensors file of the folder")
        if not (path / name).is_file():
            raise ExportError(f"{path} lacks {name}, one of the {len(names)} files that its weights are spread over")
    return tuple(path / name for name in names)


def _without_weights(path: Path) -> str:
    pickled = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLED)
    if pickled:
        return (
            f"{path} holds its weights as {pickled[0]}, a format that is not opened, since reading it may run code; "
            f"save the network as {WEIGHTS}"
        )
    return f"{path} holds no weights: neither {WEIGHTS} nor {' nor '.join(ONNX_FILES)}"

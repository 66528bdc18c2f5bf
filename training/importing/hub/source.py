"""Opens `hf:FOLDER`: its network with its preprocessing, licence and text tower."""

from pathlib import Path

from models.backbones import Backbone, PixelBackbone
from models.bundle import TOKENIZER
from models.manifest import Architecture
from training.calibration.scoring import Say
from training.export.candidate import Candidate, Eager
from training.importing.hub.families import family_of, image_tower, load_network
from training.importing.hub.folder import open_folder
from training.importing.hub.licence import LICENCE_FILE, licence_of, licence_text
from training.importing.hub.onnx_output import open_onnx
from training.importing.hub.preprocessing import read_preprocessing
from training.importing.hub.text import text_tower
from training.importing.opened import Opened

PREFIX = "hf:"


def open_hub(path: Path, say: Say) -> Opened:
    """Opens a folder.

    Raises:
        ExportError: it lacks something, or holds what is not imported or cannot be served as it is.
        GraphError: its ONNX file is no such network.
    """
    folder = open_folder(path)
    family = family_of(folder)
    preprocessing = read_preprocessing(path)
    licence = licence_of(folder)
    if licence is None:
        say("warning: the folder states no licence; the card says so, and who passes the bundle on has to know it")
    text = licence_text(path)
    further = {LICENCE_FILE: text} if text else {}
    candidate: Candidate
    described = None
    files: tuple[Path, ...]
    if folder.onnx is not None:
        candidate = opened = open_onnx(folder, preprocessing)
        width, files = opened.embedding_dim, (folder.onnx,)
        if family.has_text:
            say("no text network: with ONNX files alone, the scale of image and text is unknown")
    else:
        network = load_network(folder)
        tower = image_tower(folder, network, (preprocessing.spec.height, preprocessing.spec.width))
        candidate = Eager(PixelBackbone(Backbone(tower, preprocessing.mean, preprocessing.std)))
        width, files = tower.embedding_dim, folder.weights
        if family.has_text and (path / TOKENIZER).is_file():
            say("making ONNX of the text network")
            described, made = text_tower(folder, network)
            further |= made
        elif family.has_text:
            say(f"no text network: the folder has no {TOKENIZER}")
    return Opened(
        candidate,
        Architecture(name=f"{PREFIX}{folder.family}", widths=(), mean=preprocessing.mean, std=preprocessing.std),
        width,
        preprocessing.spec,
        f"{PREFIX}{folder.name}",
        files[0].name if len(files) == 1 else f"{len(files)} files",
        files[0] if len(files) == 1 else None,
        licence,
        described,
        further,
    )

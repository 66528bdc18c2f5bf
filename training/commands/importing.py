"""`import`: makes a bundle of a network made elsewhere."""

import argparse
import re
from pathlib import Path
from typing import get_args

from models.backbones.pretrained import is_pretrained
from models.manifest import Interpolation
from training.commands.arguments import SubParsers, add_broken_share, add_command, at_least
from training.commands.export import add_bundle, say, say_how_to_serve
from training.importing.classifier import LastLayer
from training.importing.hub.source import PREFIX as HUB
from training.importing.network import ImportOptions, file_of, import_network

_EPILOG = """examples:
  headstart-train import efficientnet-lite0 --data photos/
  headstart-train import torchvision:resnet50 --weights DEFAULT --data photos/
  headstart-train import timm:vit_small_patch16_224 --weights DEFAULT --data photos/
  headstart-train import hf:dinov2-small/ --data photos/
  headstart-train import mine.onnx --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225 --data photos/

A file's output is the embedding: float32 (N, D) or (N, D, 1, 1), of images float32 (N, 3, H, W), normalised. An ONNX file may
take uint8 (N, H, W, 3) as well; then it normalises by itself. A classifier is cut off where the file ends in softmax. A
file of weights alone needs the name of its network: timm:NAME --weights FILE.

hf:FOLDER is the folder of a Hugging Face repository of DINOv2, DINOv3, ViT, Swin, ConvNeXt, CLIP or SigLIP. Its preprocessing,
its licence and its network for texts come along. It needs transformers: pip install '.[cpu,train,import]'."""


def add_to(commands: SubParsers) -> None:
    importing = add_command(commands, "import", _import, "make a bundle of a network trained elsewhere", _EPILOG)
    text = "efficientnet-lite0, torchvision:NAME, timm:NAME, hf:FOLDER, [onnx:]FILE or [torchscript:]FILE"
    importing.add_argument("source", metavar="SOURCE", help=text)
    text = "for torchvision:NAME and timm:NAME: DEFAULT (downloaded), none (random) or a FILE; efficientnet-lite0 has its own"
    importing.add_argument("--weights", help=text)
    importing.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="images like those to be recognised: folders of images, of class folders, or zips of the latter; they give the"
        " statistics and, with 5 classes of 20 images, the head defaults",
    )
    add_broken_share(importing)
    importing.add_argument("--input-size", type=at_least(1), metavar="PIXELS", help="side of the images (default: as published)")
    for flag, number in (("--mean", _mean), ("--std", _deviation)):
        text = "value of each colour channel, on the scale 0 to 1; files need it (default: as published)"
        importing.add_argument(flag, type=number, nargs=3, metavar=("R", "G", "B"), help=text)
    interpolations = get_args(Interpolation)
    importing.add_argument("--interpolation", choices=interpolations, help="default: as published; bicubic for files")
    importing.add_argument(
        "--last-layer",
        choices=get_args(LastLayer),
        help="for a file that ends in a linear layer: cut it off if it is a classifier, keep it if it makes the embedding",
    )
    add_bundle(importing, "the network's")


def _import(arguments: argparse.Namespace) -> None:
    options = ImportOptions(
        arguments.source,
        arguments.weights,
        arguments.input_size,
        arguments.mean and tuple(arguments.mean),
        arguments.std and tuple(arguments.std),
        arguments.interpolation,
        arguments.last_layer,
    )
    name = arguments.name or _default_name(arguments.source)
    say_how_to_serve(import_network(options, arguments.data, arguments.broken_share, name, arguments.version, arguments.out, say))


def _default_name(source: str) -> str:
    """Returns `resnet50` for `torchvision:resnet50`; for a file or folder its name, reduced to a bundle's characters."""
    if is_pretrained(source):
        network = source.rpartition(":")[2]
    elif source.startswith(HUB):
        network = Path(source.removeprefix(HUB)).resolve().name
    else:
        network = file_of(source)[0].stem
    return re.sub(r"[^a-z0-9._-]+", "-", network.lower()).strip("-._")[:64]


def _mean(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not on the scale 0 to 1, where 255 is 1")
    return value


def _deviation(text: str) -> float:
    value = _mean(text)
    if value == 0.0:
        raise argparse.ArgumentTypeError("0 cannot be divided by")
    return value

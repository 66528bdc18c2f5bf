"""The preprocessing that a folder states, as what the server does; or refused, where the server does something else.

transformers reads the file and fills in the defaults of its kind. Its own step from an image to pixels and the server's differ by
rounding: it scales to a whole number of pixels before it crops, and the server crops at fractions of one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.backbones.weights import one_line
from models.manifest import RGB, InputSpec, Interpolation
from training.export.bundle import ExportError
from training.importing.hub.families import quiet_transformers

# Kinds whose steps are known to be those below. Others may add steps that no setting tells of.
_KNOWN = (
    "BitImageProcessor",
    "CLIPImageProcessor",
    "ConvNextImageProcessor",
    "DINOv3ViTImageProcessor",
    "SiglipImageProcessor",
    "ViTImageProcessor",
)
_INTERPOLATIONS: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}  # by Pillow's numbers
_UNCROPPED = 384  # pixels, from which on ConvNeXt's images are stretched
_WHITE = 255.0


@dataclass(frozen=True)
class Preprocessing:
    """The way from an image to what a network takes; `mean` and `std` are on the scale [0, 1]."""

    spec: InputSpec
    mean: RGB
    std: RGB


def read_preprocessing(folder: Path) -> Preprocessing:
    """Reads a folder's preprocessing.

    Raises:
        ExportError: transformers cannot read it, or the server cannot do it.
    """
    reader = quiet_transformers().AutoImageProcessor
    try:
        settings = reader.from_pretrained(folder, local_files_only=True, trust_remote_code=False).to_dict()
    except Exception as error:  # Files of any kind make it raise many types.
        raise ExportError(f"{folder}: transformers cannot read its preprocessing: {one_line(error)}") from error
    try:
        return preprocessing_of(settings)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{folder}: its preprocessing cannot be served as it is: {one_line(error)}") from error


def preprocessing_of(settings: Mapping[str, Any]) -> Preprocessing:
    """Returns the preprocessing that an image processor of transformers is set to.

    Raises:
        ValueError: the server cannot do it.
        ArithmeticError, KeyError, TypeError: a setting is missing, or no such thing.
    """
    kind = str(settings["image_processor_type"]).removesuffix("Fast").removesuffix("Pil")
    if kind not in _KNOWN:
        raise ValueError(f"images are prepared by {kind}, and known are {', '.join(_KNOWN)}")
    if not settings["do_resize"]:
        raise ValueError("images are not resized")
    if not settings["do_rescale"] or abs(settings["rescale_factor"] * _WHITE - 1.0) > 1e-6:
        raise ValueError("levels are not divided by 255")
    if settings.get("do_pad"):
        raise ValueError("images are padded")
    resample = int(settings["resample"])
    if resample not in _INTERPOLATIONS:
        raise ValueError(f"images are resized by Pillow's filter {resample}, and known are bilinear (2) and bicubic (3)")
    normalised = settings["do_normalize"]
    mean, std = (
        _three(settings[name]) if normalised else _three(other) for name, other in (("image_mean", 0.0), ("image_std", 1.0))
    )
    if min(std) <= 0.0:
        raise ValueError("a standard deviation is not positive")
    fitted = _convnext(settings) if kind == "ConvNextImageProcessor" else _fitted(settings)
    return Preprocessing(InputSpec(**fitted, interpolation=_INTERPOLATIONS[resample]), mean, std)


def _convnext(settings: Mapping[str, Any]) -> dict[str, Any]:
    side = int(settings["size"]["shortest_edge"])
    if settings.get("do_center_crop"):
        raise ValueError("images are cropped twice")
    if side >= _UNCROPPED:
        return _stretched(side, side)
    return _cropped(int(side / settings["crop_pct"]), side, side)


def _fitted(settings: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(settings["size"], Mapping):
        raise TypeError(f"images are resized to {settings['size']!r}")
    size = {name: value for name, value in settings["size"].items() if value is not None}
    crop = settings.get("crop_size") if settings.get("do_center_crop") else None
    match size:
        case {"shortest_edge": edge, **others} if not others and crop:
            return _cropped(int(edge), int(crop["height"]), int(crop["width"]))
        case {"height": height, "width": width, **others} if not others and (not crop or crop == size):
            return _stretched(int(height), int(width))
    raise ValueError(f"images are resized to {size}" + (f" and cropped to {dict(crop)}" if crop else " and not cropped"))


def _cropped(edge: int, height: int, width: int) -> dict[str, Any]:
    if edge < max(height, width):
        raise ValueError(f"images whose shorter side is {edge} pixels are padded to {height} x {width}")
    return {"height": height, "width": width, "shortest_edge": None if edge == height == width else edge}


def _stretched(height: int, width: int) -> dict[str, Any]:
    return {"height": height, "width": width, "resize": "stretch"}


def _three(values: Any) -> RGB:
    red, green, blue = map(float, values if isinstance(values, list | tuple) else [values] * 3)
    return red, green, blue

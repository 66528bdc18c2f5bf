"""Colour profiles: conversion of pixels to sRGB, which backbones were trained on."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from models.images.containers import MAX_PROFILE_BYTES

KEPT_PROFILE_BYTES = 64 * 1024
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a profile's colour space, and the pixels that it is about


def to_srgb(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns the transform from pixels of `mode` (RGB, L or CMYK) to sRGB, or None where none is needed.

    None is needed without a profile, with one that is damaged or about other pixels, and with one that acts like sRGB itself.
    """
    if not profile or len(profile) > MAX_PROFILE_BYTES:
        return None
    return _kept(profile, mode) if len(profile) <= KEPT_PROFILE_BYTES else _transform(profile, mode)


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _MODES.get(source.profile.xcolor_space.strip()) != mode:
            return None
        # Without its cache of one pixel, a transform is safe in several threads at once.
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", flags=ImageCms.Flags.NOCACHE)
        probe = _probe(mode)
        converted = ImageCms.applyTransform(probe, transform)
    except Exception:  # A parser of hostile bytes may raise anything; an unusable profile counts as none.
        return None
    assert converted is not None
    if mode == "CMYK":
        return transform
    difference = np.asarray(converted, dtype=np.int16) - np.asarray(probe.convert("RGB"), dtype=np.int16)
    return transform if np.abs(difference).max() > 1 else None


_kept = lru_cache(maxsize=64)(_transform)  # Photographs of one kind of phone have one profile.


def _probe(mode: str) -> Image.Image:
    """Returns an image of greys, or of colours from all over the cube."""
    if mode != "RGB":
        return Image.linear_gradient("L").convert(mode)
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3))

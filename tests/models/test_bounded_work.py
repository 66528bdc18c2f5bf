"""What an image costs is bounded before it is decoded; what people hold is taken all the same."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.images.containers import take_jpeg_apart
from models.images.preprocess import ImageError, ImageLimits, load_image, open_image
from models.manifest import InputSpec
from tests.helpers import hostile
from tests.helpers.images import animated, encode, noise
from training.data.loading import load_images

SPEC = InputSpec(height=16, width=16)


def smooth(width: int, height: int) -> Image.Image:
    return Image.fromarray(noise(5, 7)).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    "data",
    [
        hostile.scans(4000, 4000, 2000),
        hostile.scans(4000, 4000, 2000, b"\xff\xfe\0\x06\xff\xd9\xff\xd9"),  # what looks like the end is in a comment
        hostile.separate_scans(4000, 4000, 2000),
        hostile.scans(5000, 5000, 100),
        hostile.scans(500, 500, 9000),
    ],
    ids=["progressive", "an end in a comment", "sequential", "few scans of many pixels", "many scans of few pixels"],
)
def test_scans_times_pixels_are_bounded(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(ImageError, match=r"coded in \d+ scans of \d+ pixels; the limit is \d+") as error:
        load_image(data, SPEC)
    assert error.value.code == "image_too_large"
    assert time.process_time() - started < 0.2


def test_scans_are_counted_exactly() -> None:
    progressive = encode(smooth(640, 480), "JPEG", progressive=True)
    assert take_jpeg_apart(progressive).scans == progressive.count(hostile.SCAN) == 10
    for data in (
        encode(smooth(64, 48), "JPEG", progressive=True, comment=hostile.SCAN * 50),
        progressive + progressive,  # as cameras append further pictures
    ):
        assert take_jpeg_apart(data).scans == 10
    assert take_jpeg_apart(animated([noise(40, 40)] * 3, "MPO")).scans == 1
    assert take_jpeg_apart(hostile.scans(64, 64, 7)).scans == 17


def test_progressive_photographs_are_taken() -> None:
    data = encode(smooth(6000, 4000), "JPEG", progressive=True)
    opened = open_image(data, SPEC)
    assert opened.work == 24_000_000
    expected = np.asarray(smooth(6000, 4000).resize((16, 16), box=(1000, 0, 5000, 4000))).astype(int)
    assert np.abs(opened.decode() - expected).mean() < 1


def test_sides_are_bounded() -> None:
    with pytest.raises(ImageError, match="1 x 25000000 pixels; the limit of a side is 65535"):
        load_image(hostile.narrow(25_000_000), SPEC)
    assert load_image(hostile.narrow(65_535), SPEC).shape == (16, 16, 3)


@pytest.mark.parametrize("name", hostile.FLOODS)
def test_floods_of_what_is_no_pixels_cost_little(name: str) -> None:
    data = hostile.FLOODS[name]()
    started = time.process_time()
    try:
        load_image(data, SPEC)
    except ImageError as error:
        assert error.code == "image_broken"  # noqa: PT017
    assert time.process_time() - started < 0.6


def test_of_an_animation_no_more_than_the_first_frame_is_read() -> None:
    frames = [noise(16, 16, seed=seed) for seed in range(2)]
    np.testing.assert_array_equal(load_image(hostile.many_frames(25_000), SPEC), frames[0])
    np.testing.assert_array_equal(load_image(animated(frames, "WEBP"), SPEC), frames[0])


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF"])
def test_work_is_in_pixels(form: str) -> None:
    assert open_image(encode(smooth(640, 480), form), SPEC).work == 640 * 480


def test_a_jpeg_that_is_decoded_reduced_is_less_work() -> None:
    data = encode(smooth(640, 480), "JPEG")
    assert open_image(data, SPEC).work == 640 * 480 // 16
    assert open_image(data, InputSpec(height=480, width=640)).work == 640 * 480
    assert open_image(hostile.scans(640, 480, 90), SPEC).work == 10 * 640 * 480


def test_a_large_profile_is_work() -> None:
    picture = smooth(64, 48)
    assert open_image(encode(picture, icc_profile=bytes(60_000)), SPEC).work == 64 * 48
    assert open_image(encode(picture, icc_profile=bytes(3_000_000)), SPEC).work == 64 * 48 + 3_000_000


def test_the_trainer_lists_what_it_refuses(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.jpg").write_bytes(encode(noise(20, 20), "JPEG"))
    (tmp_path / "bee" / "scans.jpg").write_bytes(hostile.scans(4000, 4000, 2000))
    (tmp_path / "bee" / "narrow.png").write_bytes(hostile.narrow(70_000))
    found = load_images([tmp_path], ["ant", "bee"], SPEC, broken_share=0.5)
    assert len(found) == 6
    reasons = sorted(map(str, found.skipped))
    assert len(reasons) == 2
    assert "narrow.png" in reasons[0]
    assert "limit of a side" in reasons[0]
    assert "scans.jpg" in reasons[1]
    assert "2010 scans" in reasons[1]


def test_limits_are_those_of_the_settings() -> None:
    data = hostile.scans(100, 100, 40)
    assert load_image(data, SPEC, ImageLimits(max_pixels=20_000)).shape == (16, 16, 3)
    with pytest.raises(ImageError, match="50 scans of 10000 pixels; the limit is 25"):
        load_image(data, SPEC, ImageLimits(max_pixels=10_000))

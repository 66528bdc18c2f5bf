"""Decoding for the server: whichever way an image takes, it comes out as `load_image` has it."""

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import psutil
import pytest
from PIL import Image

from models.images.preprocess import ImageError, ImageLimits, load_image
from models.manifest import InputSpec
from server.engine.decode_processes import DecodeProcesses
from server.engine.decoder import Decoder
from server.errors import LimitExceeded, Overloaded
from tests.helpers.images import encode, noise

SPEC = InputSpec(height=16, width=24)
LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_500_000)


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(LIMITS)
    yield decoder
    decoder.close()


@pytest.fixture
def large() -> Iterator[Decoder]:
    """A decoder with the server's limits: it decodes in processes what is heavy."""
    decoder = Decoder(ImageLimits())
    yield decoder
    decoder.close()


def picture(side: int) -> bytes:
    return encode(noise(side, side))


def plain(side: int) -> bytes:
    """Few bytes, whatever its size."""
    return encode(Image.new("L", (side, side), 77))


SMALL, LARGE, FEW_BYTES, TOO_LARGE, BROKEN = picture(32), picture(300), plain(1000), plain(1300), picture(32)[:500]


def assert_decoded(decoder: Decoder, images: list[bytes], limits: ImageLimits = LIMITS) -> None:
    decoded = asyncio.run(decoder.decode(images, SPEC))
    assert len(decoded) == len(images)
    for image, pixels in zip(images, decoded, strict=True):
        if isinstance(pixels, ImageError):
            with pytest.raises(ImageError) as error:
                load_image(image, SPEC, limits)
            assert (pixels.code, pixels.detail) == (error.value.code, error.value.detail)
        else:
            np.testing.assert_array_equal(pixels, load_image(image, SPEC, limits))


@pytest.mark.parametrize("image", [SMALL, LARGE, FEW_BYTES, TOO_LARGE, BROKEN, b""])
def test_a_single_image(decoder: Decoder, image: bytes) -> None:
    assert_decoded(decoder, [image])


def test_many_images_keep_their_order(decoder: Decoder) -> None:
    assert len(FEW_BYTES) < 8192 < len(LARGE)
    assert_decoded(decoder, [picture(side) for side in range(2, 60)])
    assert_decoded(decoder, [SMALL, BROKEN, LARGE, TOO_LARGE, b"", FEW_BYTES] * 8)
    assert asyncio.run(decoder.decode([], SPEC)) == []


@pytest.mark.parametrize("count", [1, 8])
def test_no_error_keeps_its_image_in_memory(decoder: Decoder, count: int) -> None:
    gone = 0

    class Watched(bytes):
        def __del__(self) -> None:
            nonlocal gone
            gone += 1

    images: list[bytes] = [Watched(BROKEN) for _ in range(count)]
    gc.disable()
    try:
        errors = asyncio.run(decoder.decode(images, SPEC))
        decoder.close()  # A thread lets go of its work a moment after that is done.
        images.clear()
        assert (gone, len(errors)) == (count, count)
    finally:
        gc.enable()


HEAVY = plain(1500)


def children() -> list[psutil.Process]:
    """Processes of this one that decode."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # It has ended meanwhile.
            if "server.engine.decode_process" in child.cmdline():
                found.append(child)
    return found


async def until_decoding() -> None:
    """Returns when there is a process, and it is at work."""
    async with asyncio.timeout(20):
        while not any(child.cpu_times().user > 0.35 for child in children()):
            await asyncio.sleep(0.02)


def test_heavy_images_come_out_of_processes_as_others_do(large: Decoder) -> None:
    assert_decoded(large, [HEAVY], ImageLimits())
    broken, too_large = HEAVY[:-200], plain(5001)
    assert_decoded(large, [SMALL, HEAVY, BROKEN, broken, too_large, HEAVY, LARGE], ImageLimits())
    assert 1 <= len(children()) <= 4


def test_many_pixels_in_few_bytes_are_no_lot_of_small_images(large: Decoder) -> None:
    megapixel = encode(Image.new("RGB", (1000, 1000)), "WEBP")
    assert len(megapixel) < 200
    assert len(large._lot([megapixel] * 30, SPEC)) == 1
    assert_decoded(large, [megapixel] * 30 + [SMALL] * 30, ImageLimits())


def test_a_request_of_too_many_pixels_is_refused_before_they_are_decoded(large: Decoder) -> None:
    with pytest.raises(LimitExceeded, match="pixels of large images in this request: 2025000000; the limit is 2000000000"):
        asyncio.run(large.decode([plain(5000)] * 81, SPEC))
    assert not children()


def test_more_work_than_waits_is_refused(large: Decoder) -> None:
    async def crowd() -> list[object]:
        requests = [asyncio.create_task(large.decode([plain(5000)] * 79, SPEC)) for _ in range(3)]
        done, _ = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
        for request in requests:
            request.cancel()
        return [request.exception() for request in done]

    (refusal,) = asyncio.run(crowd())
    assert isinstance(refusal, Overloaded)


def test_a_caller_that_leaves_leaves_nothing_behind(large: Decoder) -> None:
    async def leave() -> None:
        request = asyncio.create_task(large.decode([HEAVY] * 60, SPEC))
        await until_decoding()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(leave())
    assert large._heavy_work.total == 0
    assert_decoded(large, [HEAVY], ImageLimits())


def test_closing_waits_for_no_heavy_image(large: Decoder) -> None:
    async def close() -> None:
        request = asyncio.create_task(large.decode([plain(3000)] * 40, SPEC))
        await until_decoding()
        await asyncio.to_thread(large.close)
        with pytest.raises(Overloaded):
            await request

    asyncio.run(close())
    assert not children()


async def decode_and_signal(decoder: Decoder, number: int) -> list[object]:
    """What comes of heavy images if the processes of a new decoder get a signal while one is at work.

    It returns when those processes are gone. One that was idle may otherwise be asked again before the signal reaches it.
    """
    request = asyncio.create_task(decoder.decode([plain(3000)] * 16, SPEC))
    await until_decoding()
    there = children()
    for child in there:
        child.send_signal(number)
    try:
        return list(await request)
    finally:
        psutil.wait_procs(there, timeout=20)


def test_an_image_that_ends_its_process_is_broken_and_spoils_no_other(large: Decoder) -> None:
    decoded = asyncio.run(decode_and_signal(large, signal.SIGSEGV))
    codes = [one.code for one in decoded if isinstance(one, ImageError)]
    assert set(codes) <= {"image_broken"}
    assert len(codes) <= 4
    assert_decoded(large, [HEAVY] * 4, ImageLimits())


def test_a_process_that_is_killed_tells_nothing_of_its_image(large: Decoder) -> None:
    with pytest.raises(Overloaded, match="memory"):
        asyncio.run(decode_and_signal(large, signal.SIGKILL))
    assert_decoded(large, [HEAVY] * 4, ImageLimits())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_ended_while_it_was_idle_is_replaced(large: Decoder, number: int) -> None:
    assert_decoded(large, [HEAVY] * 4, ImageLimits())
    there = children()
    for child in there:
        child.send_signal(number)
    psutil.wait_procs(there, timeout=20)
    assert_decoded(large, [HEAVY] * 4, ImageLimits())


@pytest.mark.parametrize("images", [[LARGE], [LARGE, SMALL], [HEAVY]])
def test_a_closed_decoder_refuses(large: Decoder, images: list[bytes]) -> None:
    large.close()
    with pytest.raises(Overloaded, match="stopping"):
        asyncio.run(large.decode(images, SPEC))


@pytest.mark.parametrize("images", [[SMALL], [LARGE, SMALL]])
def test_too_little_memory_says_nothing_of_an_image(
    decoder: Decoder, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_image: Image.Image) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
        with pytest.raises(Overloaded, match="memory"):
            asyncio.run(decoder.decode(images, SPEC))
    assert_decoded(decoder, images)


def test_too_little_memory_in_a_process_says_nothing_of_an_image(large: Decoder) -> None:
    assert_decoded(large, [HEAVY], ImageLimits())
    (first, *_) = children()
    base = psutil.Process(first.pid).memory_info().vms
    limits = [psutil.Process(child.pid).rlimit(psutil.RLIMIT_AS) for child in children()]
    for child in children():
        child.rlimit(psutil.RLIMIT_AS, (base, limits[0][1]))
    with pytest.raises(Overloaded, match="memory"):
        asyncio.run(large.decode([plain(4900)], SPEC))
    for child in children():
        child.rlimit(psutil.RLIMIT_AS, limits[0])
    assert_decoded(large, [HEAVY], ImageLimits())
    assert first in children(), "the process goes on"


def test_a_large_image_is_not_overtaken() -> None:
    processes = DecodeProcesses(ImageLimits())
    admitted: list[str] = []

    def admit(name: str, work: int) -> None:
        with processes._admit(work):
            admitted.append(name)

    def until(waiting: int) -> None:
        deadline = time.monotonic() + 10
        while len(processes._waiting) < waiting and len(admitted) == 0:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    try:
        with processes._admit(processes._room - 1):
            large = threading.Thread(target=admit, args=("large", processes._room))
            large.start()
            until(waiting=1)
            small = threading.Thread(target=admit, args=("small", 1))
            small.start()
            until(waiting=2)
        large.join()
        small.join()
    finally:
        processes.close()
    assert admitted == ["large", "small"]

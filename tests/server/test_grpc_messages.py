"""The messages of gRPC: the compiled file is that of the source, and the cost of a message is bounded before it is read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc_tools import protoc
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.server_process import ROOT
from server.grpc.calls import CALLS
from server.grpc.cost import MOST, check_cost, is_light
from server.grpc.messages import InvalidMessage, read_messages
from tests.helpers.grpc_calls import MESSAGES, infer_request


def test_the_compiled_file_is_that_of_the_source(tmp_path: Path) -> None:
    """`make grpc-messages` was run."""
    folder, compiled = ROOT / "server" / "grpc", tmp_path / "compiled"
    assert protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={compiled}", "inference.proto"]) == 0
    assert (folder / "inference.binpb").read_bytes() == compiled.read_bytes()


def test_every_call_is_served() -> None:
    assert read_messages().keys() == CALLS.keys()


def _tensor(data: st.DataObject) -> dict[str, Any]:
    return {
        "name": data.draw(st.text(max_size=9)),
        "shape": data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)),
        "contents": {
            "bytes_contents": data.draw(st.lists(st.binary(max_size=200), max_size=5)),
            "uint_contents": data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=5)),
            "fp64_contents": data.draw(st.lists(st.floats(), max_size=5)),
        },
    }


@settings(deadline=None)
@given(st.data())
def test_what_protobuf_writes_is_walked_to_its_end(data: st.DataObject) -> None:
    message = MESSAGES["ModelInfer"].request(
        model_name=data.draw(st.text(max_size=9)),
        inputs=[_tensor(data) for _ in range(data.draw(st.integers(0, 3)))],
        raw_input_contents=data.draw(st.lists(st.binary(max_size=400), max_size=3)),
    )
    written = message.SerializeToString()
    check_cost(written)
    with pytest.raises(InvalidMessage, match="cut"):
        check_cost(written + b"\x2a")


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_whatever_comes_is_walked_or_refused(data: bytes) -> None:
    try:
        check_cost(data)
    except InvalidMessage:
        return


_PARAMETERS = {"of the request": b"", "of an input": b"\x2a\x22", "of an output": b"\x32\x12"}


def _parameters(where: str, entry: bytes) -> bytes:
    """A request with so many parameters at a place that they cost too much.

    Args:
        entry: the bytes of each, without its length.
    """
    outer, key = _PARAMETERS[where][:1], _PARAMETERS[where][1:] or b"\x22"
    entries = (key + bytes([len(entry)]) + entry) * (MOST // (64 * (1 + len(entry) // 2)) + 1)
    return outer + _length(len(entries)) + entries if outer else entries


def _length(number: int) -> bytes:
    """A number as protobuf writes it."""
    return bytes([number & 0x7F | 0x80]) + _length(number >> 7) if number > 0x7F else bytes([number])


def test_numbers_and_elements_cost_what_they_take() -> None:
    pixels = np.full((6, 224, 224, 3), 255, np.uint8)
    for fitting in (
        infer_request("t.pixels", pixels, typed=True),
        infer_request("t.pixels", np.zeros((100, 224, 224, 3), np.uint8)),
        infer_request("t", [b"x" * 100] * 30_000, typed=True),
        infer_request("t", [bytes(3_000_000)], typed=True),
    ):
        check_cost(fitting.SerializeToString())
    for costly in (
        infer_request("t.pixels", np.concatenate([pixels] * 2), typed=True).SerializeToString(),
        infer_request("t", [b""] * (MOST // 64 + 1), typed=True).SerializeToString(),
        b"\x08\x01" * (MOST // 64 + 1),
        *(_parameters(where, entry) for where in _PARAMETERS for entry in (b"", b"\x12\x00" * 20)),
    ):
        with pytest.raises(InvalidMessage, match="send raw_input_contents"):
            check_cost(costly)
        assert not is_light(costly)


@pytest.mark.parametrize("tensor", [b"\x2a\x00", b"\x32\x00", b"\x3a\x00"], ids=["inputs", "outputs", "raw"])
def test_there_are_few_tensors(tensor: bytes) -> None:
    check_cost(tensor * 8)
    with pytest.raises(InvalidMessage, match="8 inputs"):
        check_cost(tensor * 9)


def test_the_event_loop_reads_what_has_few_fields() -> None:
    assert is_light(infer_request("t", [bytes(200_000)] * 20, ["LABEL", ("PROBABILITY", 1)], typed=True).SerializeToString())
    assert is_light(infer_request("t.pixels", np.zeros((1, 224, 224, 3), np.uint8)).SerializeToString())
    assert not is_light(infer_request("t", [b""] * 200, typed=True).SerializeToString())
    assert not is_light(infer_request("t.pixels", np.zeros((1, 60, 60, 3), np.uint8), typed=True).SerializeToString())

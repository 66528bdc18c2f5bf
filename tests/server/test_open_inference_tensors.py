"""Tensors of the Open Inference Protocol: what a client writes is read as it was, and any other bytes are refused in words."""

import base64
import json
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from server.errors import HeadstartError, InvalidRequest, LimitExceeded
from server.http.open_inference.tensors import MOST_COMMAS, OutputTensor, raw_request, read_request, write_answer

_ELEMENTS = st.lists(st.binary(max_size=40), min_size=1, max_size=6)
_PIXELS = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, max_side=4))
_LABELS = st.lists(st.text(max_size=6), min_size=1, max_size=5)

# JSON that is nearly a request: any value in the place of any other.
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def elements_on_the_wire(elements: list[bytes]) -> bytes:
    """As tritonclient's `serialize_byte_tensor` writes them."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def request(
    datatype: str, shape: list[int], contents: bytes | None = None, data: Any = None, **parameters: Any
) -> tuple[bytes, int | None]:
    """A body with one input, and the length of its JSON if binary data follows it."""
    tensor: dict[str, Any] = {"name": "I", "shape": shape, "datatype": datatype, "parameters": parameters}
    if contents is None:
        return json.dumps({"inputs": [{**tensor, "data": data}]}).encode(), None
    tensor["parameters"] = {"binary_data_size": len(contents), **parameters}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + contents, len(head)


class TestReading:
    @settings(deadline=None)
    @given(_ELEMENTS)
    def test_bytes_come_back(self, elements: list[bytes]) -> None:
        count = len(elements)
        for body in (
            request("BYTES", [count, 1], elements_on_the_wire(elements)),
            request("BYTES", [count], data=[base64.b64encode(each).decode() for each in elements], content_type="base64"),
            request("BYTES", [count, 1], data=[[base64.b64encode(each).decode()] for each in elements], content_type="base64"),
        ):
            (tensor,) = read_request(*body).inputs
            assert tensor.elements() == elements

    @settings(deadline=None)
    @given(_PIXELS)
    def test_pixels_come_back(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        shape = list(pixels.shape)
        for body in (
            request("UINT8", shape, pixels.tobytes()),
            request("UINT8", shape, data=pixels.tolist()),
            request("UINT8", shape, data=pixels.ravel().tolist()),
        ):
            (tensor,) = read_request(*body).inputs
            np.testing.assert_array_equal(tensor.values(), pixels)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=20)), min_size=1, max_size=4))
    def test_each_input_has_its_own_bytes(self, inputs: list[tuple[str, bytes]]) -> None:
        head = json.dumps(
            {
                "inputs": [
                    {"name": name, "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(contents)}}
                    for name, contents in inputs
                ]
            }
        ).encode()
        read = read_request(head + b"".join(contents for _, contents in inputs), len(head))
        assert [(tensor.name, bytes(tensor.binary or b"")) for tensor in read.inputs] == inputs

    def test_outputs_are_binary_by_their_own_parameter_or_by_that_of_the_request(self) -> None:
        outputs: list[dict[str, Any]] = [
            {"name": "A"},
            {"name": "B", "parameters": {"binary_data": False, "classification": 3}},
            {"name": "C", "parameters": {"binary_data": True}},
        ]
        body = {"id": "7", "inputs": [{"name": "I", "shape": [1], "datatype": "BYTES", "data": ["x"]}], "outputs": outputs}
        alone = read_request(json.dumps(body).encode())
        assert alone.id == "7"
        assert [(each.name, each.binary, each.classes) for each in alone.outputs] == [
            ("A", False, 0),
            ("B", False, 3),
            ("C", True, 0),
        ]
        together = read_request(json.dumps({**body, "parameters": {"binary_data_output": True}}).encode())
        assert [each.binary for each in together.outputs] == [True, False, True]

    def test_a_raw_body_is_one_element_or_a_row_of_values(self) -> None:
        image = raw_request(b"\xff\xd8\xff", "IMAGE", "BYTES")
        assert image.inputs[0].elements() == [b"\xff\xd8\xff"]
        pixels = raw_request(b"\x01\x02\x03", "PIXELS", "UINT8")
        assert pixels.inputs[0].values().tolist() == [1, 2, 3]
        assert image.binary
        assert pixels.binary

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ((b"", None), "the JSON of the request"),
            ((b"{}", None), "inputs"),
            ((b'{"inputs":[]}', None), "inputs"),
            ((b"\xff", None), "the JSON of the request"),
            ((b"[" * 100_000, None), "the JSON of the request"),
            ((b'{"inputs":[],"x":' + b"[" * 100_000, None), "the JSON of the request"),
            ((b"{}", 9), "Inference-Header-Content-Length is 9"),
            (request("BYTES", [1], b"\0\0\0\0x", binary_data_size=3), "2 bytes|5 bytes"),
            (request("BYTES", [1], b"\0\0\0\0", binary_data_size=300), "its inputs have 300"),
            ((json.dumps({"inputs": [{"name": "I", "shape": [1], "datatype": "BYTES"}]}).encode(), None), "neither data nor"),
        ],
    )
    def test_what_is_no_request_is_refused(self, body: tuple[bytes, int | None], said: str) -> None:
        with pytest.raises(InvalidRequest, match=said):
            read_request(*body)

    @pytest.mark.parametrize(
        ("datatype", "shape", "contents"),
        [
            ("BYTES", [2], elements_on_the_wire([b"a"])),
            ("BYTES", [1], elements_on_the_wire([b"a", b"b"])),
            ("BYTES", [1], b"\x05\0\0\0abc"),
            ("BYTES", [1], b"\0\0"),
            ("BYTES", [0], elements_on_the_wire([b""])),
            ("UINT8", [2, 2], b"abc"),
            ("UINT8", [0, 2**53, 2**53], b"a"),
            ("UINT8", [0, 2**53, 2**53], b""),
        ],
    )
    def test_contents_that_do_not_fill_the_shape_are_refused(self, datatype: str, shape: list[int], contents: bytes) -> None:
        (tensor,) = read_request(*request(datatype, shape, contents)).inputs
        with pytest.raises(InvalidRequest, match="'I'"):
            tensor.elements() if datatype == "BYTES" else tensor.values()

    @pytest.mark.parametrize("data", [[256], [-1], ["1"], [1.5], [[1], [1, 2]], [1, [2]], [[[[[1]]]]], {}, 1, None, [None]])
    def test_values_that_are_no_bytes_are_refused(self, data: Any) -> None:
        (tensor,) = read_request(*request("UINT8", [3], data=data)).inputs
        with pytest.raises(InvalidRequest):
            tensor.values()

    def test_no_list_costs_many_times_its_bytes(self) -> None:
        with pytest.raises(LimitExceeded):
            read_request(b'{"inputs":[' + b"," * (MOST_COMMAS + 1))
        body, length = request("BYTES", [1], elements_on_the_wire([b"," * (MOST_COMMAS + 1)]))
        assert len(read_request(body, length).inputs[0].elements()) == 1, "commas of binary data are its own"

    @settings(deadline=None)
    @given(st.binary(max_size=60), st.none() | st.integers(0, 70))
    def test_any_bytes_are_read_or_refused(self, body: bytes, length: int | None) -> None:
        self.consumed(body, length)

    @settings(deadline=None)
    @given(_VALUES, _VALUES, _VALUES, _VALUES, st.binary(max_size=12), st.booleans())
    def test_any_json_is_read_or_refused(
        self, shape: Any, data: Any, parameters: Any, others: Any, behind: bytes, binary: bool
    ) -> None:
        tensor = {"name": "I", "shape": shape, "datatype": "BYTES", "data": data, "parameters": parameters}
        for body in (
            {"inputs": [tensor]},
            {"inputs": [{**tensor, "shape": [len(behind)]}]},
            {"inputs": others},
            {"inputs": [{**tensor, "shape": [1], "parameters": {}}], "outputs": others, "parameters": parameters},
        ):
            head = json.dumps(body).encode()
            self.consumed(head + behind, len(head) if binary else None)

    @staticmethod
    def consumed(body: bytes, length: int | None) -> None:
        with suppress(HeadstartError):
            for tensor in read_request(body, length).inputs:
                with suppress(HeadstartError):
                    tensor.values()
                tensor.elements()


class TestWriting:
    @settings(deadline=None)
    @given(
        arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(0, 1)),
        st.booleans(),
        st.none() | st.text(max_size=5),
        st.data(),
    )
    def test_an_answer_is_read_as_clients_read_it(
        self, values: np.ndarray[Any, np.dtype[np.float64]], binary: bool, id_: str | None, data: st.DataObject
    ) -> None:
        texts = [[data.draw(st.text(max_size=4))] for _ in values]
        body, length = write_answer(
            "m",
            "3",
            id_,
            [(OutputTensor("P", "FP32", values), binary), (OutputTensor("L", "BYTES", texts), not binary)],
        )
        assert length is not None
        head = json.loads(body[:length])
        assert (head["model_name"], head["model_version"], head.get("id")) == ("m", "3", id_)
        numbers, named = head["outputs"]
        assert numbers["shape"] == list(values.shape)
        assert named["shape"] == [len(values), 1]
        behind = body[length:]
        if binary:
            assert numbers["parameters"]["binary_data_size"] == len(behind)
            read = np.frombuffer(behind, "<f4")
            assert named["data"] == [text for (text,) in texts]
        else:
            read = np.array(numbers["data"], np.float32)
            assert behind == elements_on_the_wire([text.encode() for (text,) in texts])
        np.testing.assert_array_equal(read.reshape(values.shape), values.astype(np.float32))

    def test_without_binary_data_the_body_is_json(self) -> None:
        body, length = write_answer("m", "1", None, [(OutputTensor("K", "BOOL", np.array([[True], [False]])), False)])
        assert length is None
        assert json.loads(body)["outputs"] == [{"name": "K", "datatype": "BOOL", "shape": [2, 1], "data": [True, False]}]
        assert OutputTensor("K", "BOOL", np.array([[True], [False]])).as_bytes() == b"\x01\x00"

    @settings(deadline=None)
    @given(
        st.lists(st.integers(0, 4).map(lambda fifths: fifths / 5), min_size=1, max_size=6),
        st.integers(1, 8),
        st.booleans(),
    )
    def test_classes_are_ranked_as_sorted_ranks_them(self, row: list[float], count: int, labelled: bool) -> None:
        labels = [f"label:{k}" for k in range(len(row))] if labelled else None
        (found,) = OutputTensor("P", "FP32", np.array([row]), labels).as_classes(count).values
        ranked = sorted(range(len(row)), key=lambda k: -row[k])[:count]
        assert [text.split(":", 2)[:2] for text in found] == [[f"{row[k]:.9f}", str(k)] for k in ranked]
        assert [text.partition(":")[2].partition(":")[2] for text in found] == [labels[k] if labels else "" for k in ranked]

    def test_what_is_no_number_has_no_classes(self) -> None:
        with pytest.raises(InvalidRequest, match="BYTES"):
            OutputTensor("L", "BYTES", [["a"]]).as_classes(1)

"""Is the Open Inference Protocol as fast as our own call? Each way of asking beside the other, on one server, in turns.

    python -m benchmarks.open_inference --json open_inference.json

Each pair asks for the same: probabilities alone, or verdicts on strangers as well. Requests and answers of the protocol are
binary, as its stock clients have them. A pair's ratio is the median over the rounds. All load comes over plain sockets, so that
no client counts as the server's time.
"""

import json
import struct
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.http import Served
from benchmarks.server_process import ServerProcess, free_port
from benchmarks.serving.grpc_load import GrpcChannel
from benchmarks.serving.load import LoadGenerator, post, post_form, post_images
from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.setting import create_task, sample_images, support_set
from benchmarks.shared.turns import race
from models.bundle import PAPER_BUNDLE
from models.engine import MAX_BATCH
from models.processor import available_cores
from server.grpc.messages import read_messages

_CONNECTIONS = 8
_JUDGED = ("PROBABILITY", "LABEL", "KNOWN", "NOVELTY")


def main() -> None:
    parser = benchmark_parser("open_inference", __doc__, rounds=5, seconds=2.0)
    parser.add_argument("--bundle", default=PAPER_BUNDLE, help="that embeds the images (default %(default)s)")
    arguments = parser.parse_args()
    images = sample_images()
    several = list(islice(cycle(images), MAX_BATCH))
    with (
        TemporaryDirectory() as folder,
        ServerProcess(Path(folder) / "data", "--grpc-port", str(grpc_port := free_port()), bundle=arguments.bundle) as server,
        LoadGenerator(server.url) as load,
        LoadGenerator(f"http://127.0.0.1:{grpc_port}", GrpcChannel) as grpc_load,
    ):
        with httpx.Client(base_url=server.url, timeout=60) as api:
            path = create_task(api, support_set())
        native, model = f"{path}/predict", f"/v2/models/{path.rpartition('/')[2]}/infer"
        alone, judged = f"{native}?unknown=ignore", [infer(model, [image], _JUDGED) for image in images]
        form = [post_form(alone, [("images", image) for image in several])]
        pairs = {
            f"one image, {count} at a time": (
                Served(load, post_images(alone, images), 1, count),
                Served(load, [infer(model, [image]) for image in images], 1, count),
            )
            for count in (1, _CONNECTIONS)
        }
        pairs[f"with verdicts, {_CONNECTIONS} at a time"] = (
            Served(load, post_images(native, images), 1, _CONNECTIONS),
            Served(load, judged, 1, _CONNECTIONS),
        )
        pairs[f"{MAX_BATCH} images, 4 at a time"] = (
            Served(load, form, MAX_BATCH, 4),
            Served(load, [infer(model, several)], MAX_BATCH, 4),
        )
        task = path.rpartition("/")[2]
        asked, together = [infer_message(task, [image]) for image in images], [infer_message(task, several)]
        for count in (1, _CONNECTIONS):
            beside, _ = pairs[f"one image, {count} at a time"]
            pairs[f"gRPC, one image, {count} at a time"] = beside, Served(grpc_load, asked, 1, count)
        beside, _ = pairs[f"{MAX_BATCH} images, 4 at a time"]
        pairs[f"gRPC, {MAX_BATCH} images, 4 at a time"] = beside, Served(grpc_load, together, MAX_BATCH, 4)
        contestants = {
            f"{name}, {way}": served for name, pair in pairs.items() for way, served in zip(("ours", "v2"), pair, strict=True)
        }
        rates = race(contestants, arguments.rounds, arguments.seconds)
    print(f"{arguments.bundle}, {available_cores()} cores; images per second")
    print(f"{'':<36}{'our own call':>14}{'protocol':>12}{'of ours':>9}{'(least, most)':>16}")
    rows = []
    for name in pairs:
        ours, theirs, ratio = (
            rates.median(f"{name}, ours"),
            rates.median(f"{name}, v2"),
            rates.ratio(f"{name}, v2", f"{name}, ours"),
        )
        spread = f"({ratio.least:.2f}, {ratio.most:.2f})"
        print(f"{name:<36}{ours:>14.0f}{theirs:>12.0f}{ratio.median:>9.2f}{spread:>16}")
        rows.append({"way": name, "ours": ours, "protocol": theirs, "ratio": [ratio.median, ratio.least, ratio.most]})
    write_json(arguments.json, rows)


def infer(path: str, images: Sequence[bytes], outputs: Sequence[str] = ()) -> bytes:
    """Returns a whole HTTP/1.1 request of the protocol, with binary data; without outputs it asks for all of them."""
    contents = b"".join(struct.pack("<I", len(image)) + image for image in images)
    tensor = {
        "name": "IMAGE",
        "shape": [len(images), 1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(contents)},
    }
    asked = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    head = json.dumps({"inputs": [tensor], "outputs": asked, "parameters": {"binary_data_output": True}}).encode()
    return post(path, head + contents, "application/octet-stream", Inference_Header_Content_Length=str(len(head)))


def infer_message(model: str, images: Sequence[bytes]) -> bytes:
    """Returns a ModelInferRequest with raw contents; it names no output."""
    message = read_messages()["ModelInfer"].request(model_name=model)
    message.inputs.add(name="IMAGE", datatype="BYTES", shape=[len(images), 1])
    message.raw_input_contents.append(b"".join(struct.pack("<I", len(image)) + image for image in images))
    written: bytes = message.SerializeToString()
    return written


if __name__ == "__main__":
    main()

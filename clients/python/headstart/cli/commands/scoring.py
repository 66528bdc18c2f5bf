"""`headstart score` and `classifier`: very many images by this machine's own engine, with the package of the server."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.cli import finding
from headstart.cli.failures import Exit, Misused
from headstart.cli.output import Output
from headstart.cli.tables.text import printable
from headstart.client import Client
from headstart.whole import written_whole

_MISSING = (
    "this needs the server's package on this machine, with an engine and its extra `score`: "
    "pip install 'headstart-server[cpu,score]'"
)


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds these commands; `command` adds one."""
    scoring = command(
        "score",
        score,
        "recognise very many images on this machine, to a Parquet file; the same command goes on after a stop",
        "headstart score photos/ more.zip s3://bucket/photos --task birds --out scores.parquet",
    )
    scoring.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="a folder, a zip, a text file with a path in each line, or a URL such as s3://bucket/folder",
    )
    scoring.add_argument(
        "--task",
        dest="tasks",
        metavar="TASK",
        action="append",
        required=True,
        help="a task's name or id, or a file that `headstart classifier` saved; may be given several times",
    )
    scoring.add_argument("--out", metavar="FILE", type=Path, required=True, help="the Parquet file to make")
    scoring.add_argument("--top-k", metavar="N", type=int, default=5, help="scores of each image (default %(default)s)")
    scoring.add_argument(
        "--keep-embeddings", metavar="FOLDER", type=Path, help="keep the embeddings here, so that the next task costs none"
    )
    scoring.add_argument("--bundles-dir", metavar="FOLDER", type=Path, help="the folder of bundles that are not shipped")

    saving = command(
        "classifier",
        classifier,
        "save a task's active version for `score` on other machines",
        "headstart classifier birds b.safetensors",
    )
    finding.add_task(saving)
    saving.add_argument("file", metavar="FILE", type=Path, help=f"a new file, which ends in {finding.CLASSIFIER}")


def score(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart score SOURCE… --task TASK… --out FILE`"""
    if args.top_k < 1:
        raise Misused("--top-k is at least 1")
    with _explained():
        from scoring.run import Scoring, read_classifier, score

        read = [read_classifier(finding.document(client, task)) for task in args.tasks]
        classifiers = list({(each.task, each.version): each for each in read}.values())
        asked = Scoring(args.sources, classifiers, args.out, args.top_k, args.keep_embeddings, args.bundles_dir)
        with output.following("Scored") as tell:
            images = score(asked, _paced(tell))
    output.answer({"images": images, "file": str(args.out)}, lambda: f"Scored {images} images: {args.out}.")
    return Exit.DONE


def classifier(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart classifier TASK FILE`"""
    if args.file.suffix != finding.CLASSIFIER:
        raise Misused(f"{args.file} does not end in {finding.CLASSIFIER}, by which `score` tells a file from a task")
    task = finding.task(client, args.task)
    with written_whole(args.file) as whole:
        whole.write_bytes(client.classifier(task.id))
    output.answer({"task": task.id, "file": str(args.file)}, lambda: f"Saved {printable(task.name)} to {args.file}.")
    return Exit.DONE


def _paced(tell: Callable[[int, int, str], None]) -> Callable[[int, int], None]:
    """Returns a function of the images done and of all, which tells the rate of this run and the time left."""
    began: tuple[float, int] | None = None

    def paced(done: int, total: int) -> None:
        nonlocal began
        began = began or (time.monotonic(), done)
        seconds, here = time.monotonic() - began[0], done - began[1]
        if not here:
            tell(done, total, "")
            return
        rate = here / max(seconds, 1e-9)
        left = round((total - done) / rate)
        tell(done, total, f", {rate:.0f} a second, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left")

    return paced


@contextmanager
def _explained() -> Iterator[None]:
    """Turns the errors of the server's package into those of this command line, also where the package is missing."""
    try:
        from scoring.errors import ScoringError

        try:
            yield
        except ScoringError as error:
            raise Misused(str(error)) from error
    except ModuleNotFoundError as error:
        raise Misused(f"{_MISSING} ({error.name} is missing)") from error

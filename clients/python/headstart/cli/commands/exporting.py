"""`headstart export`: a task as files that answer as the server does, without it; made by the package of the server."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.cli import finding
from headstart.cli.commands.archiving import save_folder
from headstart.cli.commands.saving import safe
from headstart.cli.failures import Exit, Misused
from headstart.cli.output import Output
from headstart.cli.tables.text import printable
from headstart.client import Client

_CHECK = "check"
_FORMATS = {
    "onnx": "a file for ONNX Runtime",
    "web": "a folder for browsers",
    "tflite": "a folder for TensorFlow Lite, as Frigate reads it",
    "coreml": "a Core ML package",
    "archive": "a folder of the images, labels, versions and captures, which `headstart import` reads",
}
_MISSING = "this needs the server's package on this machine: pip install 'headstart-server[{extras}]'"
_EXTRAS = {
    "ai_edge_litert": "cpu,export,tflite",
    "flatbuffers": "cpu,export,tflite",
    "coremltools": "cpu,export,coreml",
    "torch": "cpu,export,coreml",
}


def add_to(command: Callable[..., ArgumentParser]) -> None:
    """Adds this command; `command` adds one."""
    exporting = command(
        "export",
        export,
        "save a task as a file that answers as the server does, without it; or check such a file",
        "headstart export birds --format onnx\n  headstart export check birds.onnx",
    )
    exporting.add_argument(
        "words",
        metavar="TASK|check FILE",
        nargs="+",
        help=f"{finding.TASK}, or a file that `headstart classifier` saved; or `check` and what was exported",
    )
    exporting.add_argument("--format", choices=[*_FORMATS], help="; ".join(f"{name}: {what}" for name, what in _FORMATS.items()))
    exporting.add_argument("--out", metavar="PATH", type=Path, help="what to make (default: the task's name, in this folder)")
    runtime = "for `web`: the folder `dist` of the npm package onnxruntime-web, of which three files are put beside the page"
    exporting.add_argument("--onnxruntime-web", metavar="FOLDER", type=Path, help=runtime)
    exporting.add_argument("--bundles-dir", metavar="FOLDER", type=Path, help="the folder of bundles that are not shipped")


def export(client: Client, args: Namespace, output: Output) -> Exit:
    """`headstart export TASK --format FORMAT` and `headstart export check FILE`"""
    match args.words:
        case ["check", file]:
            return _check(Path(file), output)
        case [task] if task != _CHECK:
            if args.format is None:
                raise Misused("say with --format what to make of the task")
            return _MAKE[args.format](client, task, args, output)
    raise Misused("give either a task with --format, or `check` and what was exported")


def _to_onnx(client: Client, wanted: str, args: Namespace, output: Output) -> Exit:
    with _explained():
        from exporting.model import find, to_onnx
        from exporting.ten_lines import ten_lines
        from exporting.whole import written_whole

        found = find(finding.document(client, wanted), args.bundles_dir)
        name = found.classifier.name
        path = args.out or Path(f"{safe(name)}.onnx")
        with written_whole(path) as whole:
            whole.write_bytes(to_onnx(found))
        program = ten_lines(path.name, found.bundle.manifest.input)
    body = {"task": found.classifier.task, "version": found.classifier.version, "file": str(path), "program": program}
    told = f"Saved version {found.classifier.version} of {printable(name)} to {printable(str(path))}. This reads it:\n\n{program}"
    output.answer(body, lambda: told)
    return Exit.DONE


def _to_web(client: Client, wanted: str, args: Namespace, output: Output) -> Exit:
    with _explained():
        from exporting.model import find
        from exporting.web import RUNTIME, write_folder

        found = find(finding.document(client, wanted), args.bundles_dir)
        name, version = found.classifier.name, found.classifier.version
        path = args.out or Path(f"{safe(name)}-web")
        write_folder(found, path, args.onnxruntime_web)
    told = f"Saved version {version} of {printable(name)} to {printable(str(path))}."
    if args.onnxruntime_web is None:
        told += (
            f" The page needs {', '.join(RUNTIME)} in {printable(str(path / 'ort'))}: run npm install onnxruntime-web, and copy "
            "them from node_modules/onnxruntime-web/dist."
        )
    told += f" To see the page: python -m http.server --bind 127.0.0.1 --directory {printable(str(path))}"
    output.answer({"task": found.classifier.task, "version": version, "folder": str(path)}, lambda: told)
    return Exit.DONE


def _to_tflite(client: Client, wanted: str, args: Namespace, output: Output) -> Exit:
    with _explained():
        from exporting.model import find
        from exporting.tflite.model import write_folder

        found = find(finding.document(client, wanted), args.bundles_dir)
        name, version = found.classifier.name, found.classifier.version
        path = args.out or Path(f"{safe(name)}-tflite")
        write_folder(found, path)
    told = (
        f"Saved version {version} of {printable(name)} to {printable(str(path))}: model.tflite and labelmap.txt. For Frigate, "
        "make it the folder model_cache/NAME of its configuration, with the name of a custom classification."
    )
    output.answer({"task": found.classifier.task, "version": version, "folder": str(path)}, lambda: told)
    return Exit.DONE


def _to_coreml(client: Client, wanted: str, args: Namespace, output: Output) -> Exit:
    with _explained():
        from exporting.coreml.model import write_package
        from exporting.model import find

        found = find(finding.document(client, wanted), args.bundles_dir)
        name, version, spec = found.classifier.name, found.classifier.version, found.bundle.manifest.input
        path = args.out or Path(f"{safe(name)}.mlpackage")
        write_package(found, path)
    told = (
        f"Saved version {version} of {printable(name)} to {printable(str(path))}. It takes images of {spec.width} x "
        f"{spec.height} pixels. Core ML runs on Apple's systems alone: headstart export check {printable(str(path))} needs macOS."
    )
    output.answer({"task": found.classifier.task, "version": version, "folder": str(path)}, lambda: told)
    return Exit.DONE


def _to_archive(client: Client, wanted: str, args: Namespace, output: Output) -> Exit:
    task = finding.task(client, wanted)
    path = args.out or Path(f"{safe(task.name)}-archive")
    saved = save_folder(client, task, path)
    told = (
        f"Saved {printable(task.name)} to {printable(str(path))}: version {task.version}, its history and "
        f"{saved['captures']} captures."
    )
    output.answer(saved, lambda: told)
    return Exit.DONE


_MAKE = {"onnx": _to_onnx, "web": _to_web, "tflite": _to_tflite, "coreml": _to_coreml, "archive": _to_archive}


def _check(path: Path, output: Output) -> Exit:
    with _explained():
        from exporting.check import check, open_export

        found = check(open_export(path))
    told = (
        f"{found.same} of {found.images} golden images have the same label, and are known or not as before. Probabilities "
        f"differ by up to {found.probability:.2g} (allowed {found.tolerance:g}), novelty by up to {found.novelty:.2g}."
    )
    body = {
        "file": str(path),
        "images": found.images,
        "same": found.same,
        "probability": found.probability,
        "novelty": found.novelty,
        "tolerance": found.tolerance,
        "passed": found.passed,
    }
    output.answer(body, lambda: f"{'Passed' if found.passed else 'Failed'}: {told}")
    return Exit.DONE if found.passed else Exit.REFUSED


@contextmanager
def _explained() -> Iterator[None]:
    """Turns the errors of the server's package into those of this command line, also where the package is missing."""
    try:
        from exporting.errors import ExportError

        try:
            yield
        except ExportError as error:
            raise Misused(str(error)) from error
    except ModuleNotFoundError as error:
        extras = _EXTRAS.get((error.name or "").partition(".")[0], "cpu,export")
        raise Misused(f"{_MISSING.format(extras=extras)} ({error.name} is missing)") from error

"""The command's output: answers go to stdout, everything else to stderr."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from headstart.cli.failures import Failure, Misused
from headstart.replies.values import JsonObject

# A pipe has no edge to wrap at.
_WIDTH_OF_A_PIPE = 1000


def open_streams() -> None:
    """Prepares both streams: characters that the encoding lacks are escaped, and a closed stream swallows its output."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Output:
    """Tables for people, or the API's JSON for scripts."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._answers = _console(sys.stdout)
        self._remarks = _console(sys.stderr)

    def answer(self, body: JsonObject, table: Callable[[], RenderableType]) -> None:
        """Prints the answer, as a table or as JSON."""
        if self.as_json:
            self._answers.out(json.dumps(body, indent=2))
        else:
            self._answers.print(table())

    def line(self, text: str) -> None:
        """Prints one line of an answer that goes on."""
        self._answers.out(text)

    def csv(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Prints the answer as CSV, for spreadsheets."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        self._answers.out(text.getvalue(), end="")

    def done(self, sentence: str) -> None:
        """Prints a sentence in place of an answer that has no body."""
        if not self.as_json:
            self._answers.print(sentence)

    def remark(self, text: str) -> None:
        """Prints a remark beside the answer."""
        self._remarks.print(text)

    def failure(self, failure: Failure) -> None:
        """Prints the reason why there is no answer, and advice."""
        self.remark(f"headstart: {failure.message}")
        if failure.advice:
            self.remark(failure.advice)

    def confirm(self, question: str) -> bool:
        """Asks a person on the terminal.

        Raises:
            Misused: stdin is no terminal.
        """
        if not sys.stdin.isatty():
            raise Misused("cannot ask, since stdin is not a terminal; pass --yes to do it without asking")
        try:
            return self._remarks.input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
        except EOFError:
            return False

    @contextmanager
    def progress(self, doing: str, images: int) -> Iterator[Callable[[int], None]]:
        """Shows a bar on a terminal, nothing elsewhere. Yields a function to call with how many more images are done."""
        columns = (
            self._spinner(),
            TextColumn(doing),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._remarks, transient=True, disable=not sys.stderr.isatty()) as bar:
            row = bar.add_task(doing, total=images)
            yield lambda count: bar.advance(row, count)

    @contextmanager
    def following(self, doing: str) -> Iterator[Callable[[int, int, str], None]]:
        """Shows a bar on a terminal, a line for each tenth elsewhere, nothing beside JSON.

        Yields a function of the images done, of all images, and of a text about the pace.
        """
        columns = (self._spinner(), TextColumn(doing), BarColumn(), MofNCompleteColumn(), TextColumn("images{task.fields[pace]}"))
        bar = Progress(*columns, console=self._remarks, transient=True, disable=not sys.stderr.isatty())
        row = bar.add_task(doing, total=None, pace="")
        told = -1

        def tell(done: int, total: int, pace: str) -> None:
            nonlocal told
            bar.update(row, completed=done, total=total, pace=pace)
            tenths = 10 * done // total if total else 10
            if bar.disable and not self.as_json and tenths > told:
                told = tenths
                self.remark(f"{doing}: {done} of {total} images{pace}")

        with bar:
            yield tell

    def _spinner(self) -> SpinnerColumn:
        return SpinnerColumn("line" if self._remarks.options.ascii_only else "dots")


def _console(stream: TextIO) -> Console:
    # Names and labels come from others, so they are never read as markup.
    width = None if stream.isatty() else _WIDTH_OF_A_PIPE
    return _Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Rich would exit; the command ends by itself."""
        raise BrokenPipeError

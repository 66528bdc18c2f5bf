"""Tables that fit the terminal: no cell wraps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table

_EDGES, _BETWEEN = 2, 3  # columns that the box takes
_LEAST = 12  # columns that a cut text keeps
_HEADING = 3  # lines


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what happens to it in a narrow terminal.

    Attributes:
        goes: the order in which columns are left out: 1 first; 0 stays. Columns with the same text in every row go before all.
        cut: the end of a long text that is cut off: its end or, of a path, its start. None cuts nothing, for example of an id.
        below: prints the text below its row.
    """

    title: str
    number: bool = False
    goes: int = 0
    cut: Literal["end", "start"] | None = None
    below: bool = False


@dataclass(slots=True)
class FittedTable:
    """Rows under a heading. A pipe has no width, and gets everything."""

    columns: Sequence[Column]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        return len(self.rows)

    def add_row(self, *cells: str) -> None:
        self.rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        shown, below = self._fitting(width)
        widths = self._narrowed(shown, width)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place in shown:
            column = self.columns[place]
            # A folded id can still be copied.
            table.add_column(column.title, justify="right" if column.number else "left", overflow="fold")
        dots = "..." if options.ascii_only else "…"
        for row in self.rows:
            cells = (_cut(row[place], widths[place], self.columns[place].cut, dots) for place in shown)
            table.add_row(*cells)
        if below is None:
            yield table
            return
        for number, line in enumerate(console.render_lines(table, options, pad=False)):
            yield from (*line, Segment.line())
            if 0 <= (row_number := number - _HEADING) < len(self.rows):
                for text in wrap(self.rows[row_number][below], max(width - 4, 20)):
                    yield from (Segment(f"    {text}"), Segment.line())

    def _fitting(self, width: int) -> tuple[list[int], int | None]:
        """The places of the columns that fit, and of the column that goes below each row."""
        shown = list(range(len(self.columns)))
        below = next((place for place in shown if self.columns[place].below), None)
        if below is None or self._natural(shown) <= width:
            below = None
        else:
            shown.remove(below)
        while self._least(shown) > width:
            can_go = [place for place in shown if self.columns[place].goes]
            if not can_go:
                break
            shown.remove(min(can_go, key=lambda place: (len(self._texts(place)) > 1, self.columns[place].goes)))
        return shown, below

    def _narrowed(self, shown: Sequence[int], width: int) -> dict[int, int]:
        """The width of each column; the widest of those that may be cut loses first."""
        widths = {place: self._width(place) for place in shown}
        while sum(widths.values()) + _around(shown) > width:
            cuttable = [place for place in shown if self.columns[place].cut and widths[place] > _LEAST]
            if not cuttable:
                break
            widths[max(cuttable, key=lambda place: widths[place])] -= 1
        return widths

    def _natural(self, shown: Sequence[int]) -> int:
        return sum(map(self._width, shown)) + _around(shown)

    def _least(self, shown: Sequence[int]) -> int:
        """The width at which no column must go; a column that may be cut counts twice its least width."""
        return _around(shown) + sum(
            min(self._width(place), 2 * _LEAST) if self.columns[place].cut else self._width(place) for place in shown
        )

    def _width(self, place: int) -> int:
        return max(map(cell_len, (self.columns[place].title, *(row[place] for row in self.rows))))

    def _texts(self, place: int) -> set[str]:
        return {row[place] for row in self.rows}


def _around(shown: Sequence[int]) -> int:
    return _EDGES + _BETWEEN * (len(shown) - 1)


def _cut(text: str, width: int, cut: Literal["end", "start"] | None, dots: str) -> str:
    if cut is None or cell_len(text) <= width:
        return text
    while text and cell_len(text) + len(dots) > width:
        text = text[:-1] if cut == "end" else text[1:]
    return text + dots if cut == "end" else dots + text

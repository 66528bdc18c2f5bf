"""Documents as tests read them: links, headings, code, and the commands in it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import dropwhile
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from benchmarks.server_process import ROOT

_SHELLS = {"sh", "console"}
_SEPARATORS = set("();<>|&")


@dataclass(frozen=True)
class Code:
    """Text between backticks (`language` is None), or a block of code."""

    text: str
    language: str | None = None

    @property
    def is_shell(self) -> bool:
        return self.language in _SHELLS

    def commands(self) -> Iterator[list[str]]:
        """The words of each command, without comments, prompts, redirections and variables set before it."""
        text = self.text.replace("\\\n", " ")
        for line in text.splitlines() if self.is_shell else [" ".join(text.split())]:
            words = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
            words.whitespace_split = True
            command: list[str] = []
            try:
                for word in [*words, ";"]:
                    if not set(word) <= _SEPARATORS:
                        command.append(word)
                    elif command := list(dropwhile(_sets_a_variable, command)):
                        yield command
                        command = []
            except ValueError:  # an apostrophe: prose
                continue


@dataclass(frozen=True)
class Document:
    """A Markdown file, or its beginning."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    def _inline(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()

    def blocks(self) -> list[Code]:
        return [Code(token.content, token.info.strip()) for token in self._tokens if token.type == "fence"]

    def code(self) -> list[Code]:
        """Whatever is set as code."""
        return [Code(token.content) for token in self._inline() if token.type == "code_inline"] + self.blocks()

    def targets(self) -> list[str]:
        """Where its links and pictures lead."""
        found = [token.attrGet("href") or token.attrGet("src") for token in self._inline()]
        return [str(target) for target in found if target]

    def anchors(self) -> set[str]:
        """Of its headings, as GitHub makes them; a heading that is there twice has a number as well."""
        found: set[str] = set()
        for opening, heading in zip(self._tokens, self._tokens[1:], strict=False):
            if opening.type == "heading_open":
                shown = "".join(part.content for part in heading.children or ())
                anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
                number = next(n for n in range(len(found) + 1) if (f"{anchor}-{n}" if n else anchor) not in found)
                found.add(f"{anchor}-{number}" if number else anchor)
        return found


def documents() -> list[Document]:
    """Those of the project. Of the changelog only the newest section: earlier ones may name what is gone."""
    readmes = [ROOT / "clients" / language / "README.md" for language in ("python", "typescript")]
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *readmes]
    return [Document(path, _current(path)) for path in sorted(paths)]


def _current(path: Path) -> str:
    text = path.read_text()
    if path.name != "CHANGELOG.md":
        return text
    head, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    return head + sections[0]


def _sets_a_variable(word: str) -> bool:
    return re.match(r"\w+=", word) is not None


def python_of(name: str) -> str:
    """The one block of Python in a document, by its path in the repository."""
    path = ROOT / name
    (block,) = (block for block in Document(path, path.read_text()).blocks() if block.language == "python")
    return block.text

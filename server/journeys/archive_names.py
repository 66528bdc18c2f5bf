"""Names of an archive's folders and files: made of labels and file names, and fit for every file system."""

import re
import unicodedata

_FORBIDDEN = frozenset('/\\:*?"<>|')
_UNUSABLE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)|__macosx$", re.IGNORECASE)  # on Windows, and to who reads archives
_LONGEST = 200  # bytes; file systems take 255


class Names:
    """The names of one folder. No two differ in case or Unicode form alone."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}

    def free(self, text: str, suffix: str = "") -> str:
        """Returns a name like `text` that leads nowhere else, is not hidden and was not returned before."""
        stem = _safe(text)
        number = self._last.get(_alike(stem), 0)
        while True:
            number += 1
            name = f"{stem}{'' if number == 1 else f' ({number})'}{suffix}"
            if _alike(name) not in self._taken:
                break
        self._last[_alike(stem)] = number
        self._taken.add(_alike(name))
        return name


def _safe(text: str) -> str:
    name = "".join("_" if character in _FORBIDDEN or unicodedata.category(character) == "Cc" else character for character in text)
    name = name.encode()[:_LONGEST].decode(errors="ignore")
    name = re.sub(r"^\.+|[. ]+$", lambda match: "_" * len(match[0]), name) or "_"
    return unicodedata.normalize("NFC", f"_{name}" if _UNUSABLE.match(name) else name)


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()

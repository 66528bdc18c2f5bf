"""The licence of a folder's weights: what its card, its `LICENSE` file or its config says, in this order."""

import re
from pathlib import Path
from typing import Any

from models.bundle import CARD
from models.manifest import Licence
from training.importing.hub.folder import HubFolder

LICENCE_FILE = "LICENSE"
"""The name of the licence's text in a bundle, where Hugging Face looks for it."""
_TEXTS = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "LICENCE.md")
_MOST = 1 << 20  # bytes of a card or a licence
_UNKNOWN = ("unknown", "none", "")
_LONGEST = 200  # characters of a name or an address
# Title -> identifier, for texts that begin with their title.
_TITLES = {"apache license": "apache-2.0", "mit license": "mit", "the mit license": "mit", "bsd 3-clause license": "bsd-3-clause"}


def licence_text(folder: Path) -> bytes | None:
    """Returns the text that the weights must be passed on with, or None where the folder has none."""
    return next((text for name in _TEXTS if (text := _read(folder / name))), None)


def licence_of(folder: HubFolder) -> Licence | None:
    """Returns the licence that a folder states, or None where it states none."""
    stated = front_matter(_read(folder.path / CARD).decode("utf-8", "replace"))
    if (found := _stated(stated)) is not None:
        return found
    text = (licence_text(folder.path) or b"").decode("utf-8", "replace")
    if title := next((line.strip(" #*") for line in text.splitlines() if line.strip(" #*")), ""):
        known = _TITLES.get(re.sub(r"\s+", " ", title).lower())
        return Licence(identifier=known) if known else Licence(identifier="other", name=title[:_LONGEST])
    return _stated(folder.config)


def front_matter(card: str) -> dict[str, Any]:
    """Returns the settings at the head of a card; none where it has no head, or one that is no YAML."""
    import yaml  # It comes with transformers.

    found = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", card, re.DOTALL)
    try:
        settings = yaml.safe_load(found[1]) if found else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _stated(settings: dict[str, Any]) -> Licence | None:
    identifier = settings.get("license")
    if isinstance(identifier, list) and len(identifier) == 1:
        identifier = identifier[0]
    if not isinstance(identifier, str) or identifier.strip().lower() in _UNKNOWN:
        return None
    name, link = (settings.get(f"license_{field}") for field in ("name", "link"))
    return Licence(
        identifier=identifier.strip()[:_LONGEST],
        name=name[:_LONGEST] if isinstance(name, str) else None,
        link=link[:_LONGEST] if isinstance(link, str) else None,
    )


def _read(path: Path) -> bytes:
    """Returns what a file begins with; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError:
        return b""

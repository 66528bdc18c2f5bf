"""The form in which the server, the clients and the trainer compare and keep labels."""

import unicodedata
from collections.abc import Sequence

MAX_LABEL = 128

LabelSet = tuple[str, ...]
"""The labels of an image in a task in which an image may have any number of them. None is there twice; their order is as sent."""

Label = str | LabelSet
"""The label of an image; in a task of several labels an image, all its labels."""

# The characters that `str.strip` removes, and invisible ones: zero-width space and no-break space (also the byte order mark),
# word joiner and soft hyphen. Inside a label they stay, since emoji and some scripts need them.
_EDGES = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff\u200b\u2060\u00ad"
)

# Control characters, lone surrogates, and line and paragraph separators; format characters stay, since emoji need them.
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})

# A longer text cannot compose to a label's length: at most four characters become one, a Greek letter with three marks.
_MOST_DECOMPOSED = 4 * MAX_LABEL


def clean_label(raw: str) -> str:
    """Returns the label in Unicode's composed form (NFC), without invisible characters at its edges; case and everything else is
    kept.

    Cleaning again changes nothing.

    Raises:
        ValueError: it is empty, longer than 128 characters, or holds control characters. The caller puts the label's name before
            the message, as in `a label is empty`.
    """
    stripped = raw.strip(_EDGES)
    if len(stripped) > _MOST_DECOMPOSED:  # Composing a very long text may take a time that grows with its square.
        raise ValueError(f"has {len(stripped)} characters; the limit is {MAX_LABEL}")
    label = unicodedata.normalize("NFC", stripped)
    if not label:
        raise ValueError(f"is empty; it needs 1 to {MAX_LABEL} characters after trimming")
    if len(label) > MAX_LABEL:
        raise ValueError(f"has {len(label)} characters; the limit is {MAX_LABEL}")
    if not is_one_line(label):
        raise ValueError("holds control characters")
    return label


def is_one_line(text: str) -> bool:
    """Returns whether `text` is free of control characters and line breaks, so that it prints as one line everywhere."""
    return not any(unicodedata.category(character) in _FORBIDDEN for character in text)


def labels_of(label: Label | None) -> LabelSet:
    """Returns the labels of one image, whatever the task's kind; none for an image of none."""
    if label is None:
        return ()
    return label if isinstance(label, tuple) else (label,)


def as_sets(labels: Sequence[Label]) -> list[LabelSet] | None:
    """Returns the labels of images of a task of several labels an image; None for those of a task of one."""
    return [label for label in labels if isinstance(label, tuple)] or None


def as_texts(labels: Sequence[Label]) -> list[str]:
    """Returns the labels of images of a task of one label an image."""
    return [label for label in labels if isinstance(label, str)]

"""Which characters a label or a name may hold."""

import unicodedata

# Control characters, lone surrogates, and line and paragraph separators; format characters stay, since emoji need them.
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def is_one_line(text: str) -> bool:
    """Whether `text` is free of control characters and line breaks, so that it prints as one line everywhere."""
    return not any(unicodedata.category(character) in _FORBIDDEN for character in text)

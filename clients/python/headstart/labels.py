"""Labels in the form in which the server compares and keeps them."""

import unicodedata

# What cannot be seen at the edges of a text and `str.strip` leaves: zero-width space and no-break space (also the byte order
# mark), word joiner and soft hyphen.
_UNSEEN = "\ufeff\u200b\u2060\u00ad"


def clean_label(raw: str) -> str:
    """The label in Unicode's composed form (NFC), without what cannot be seen at its edges.

    What is no label, since it is empty, too long or holds control characters, is none afterwards: the server refuses it.
    """
    label = unicodedata.normalize("NFC", raw)
    while (stripped := label.strip().strip(_UNSEEN)) != label:
        label = stripped
    return label

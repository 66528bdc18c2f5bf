"""Labels in the form in which the server compares and keeps them."""

import unicodedata
from collections.abc import Sequence

# Invisible characters that `str.strip` leaves: zero-width no-break space (the byte order mark), zero-width space, word joiner
# and soft hyphen.
_UNSEEN = "\ufeff\u200b\u2060\u00ad"


def clean_label(raw: str) -> str:
    """The label in Unicode's composed form (NFC), without invisible characters at its edges.

    An invalid label (empty, too long, or with control characters) stays invalid; the server refuses it.
    """
    label = unicodedata.normalize("NFC", raw)
    while (stripped := label.strip().strip(_UNSEEN)) != label:
        label = stripped
    return label


def label_field(label: str | Sequence[str] | None) -> dict[str, object]:
    """The field of a JSON body that says the label of an image, or where it may have several the list of them."""
    return {"label": label} if label is None or isinstance(label, str) else {"labels": list(label)}

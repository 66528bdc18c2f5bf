"""Requests with values that a database may not take: what it cannot store, compare or count to."""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.helpers.images import encode, noise
from tests.helpers.uploads import base64_of

BUNDLE = "small@2"

_IMAGES = [encode(noise(32, 32, seed=seed)) for seed in range(3)]

# Values that one of the databases cannot store, compare or count to, and values that are only nearly text.
_ODD = (
    "",
    "\0",
    "a\0b",
    "\ud800",
    "a\udfffb",
    "\u0130",
    "e\u0301",
    "\u00e9",
    "\U0001f98a",
    "%00",
    "'\"\\",
    "x" * 3000,
    "9" * 18,
    "9" * 19,
    "9" * 40,
    "-1",
    "NaN",
    "event_1-00000000",
    f"event_{2**63}-00000000",
    f"event_{10**30}-00000000",
)
NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    2**31 - 1,
    2**31,
    2**32,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**30,
    10**400,
    0.5,
    1e-320,
    float("nan"),
    float("inf"),
    -float("inf"),
    True,
    None,
    "1",
    [],
)
LABELS = ("a", "B", "b", "Z", "é", "z", "ß", "ss", "_", "\U0001f98a", "\uffff", "~", " a", "10", "9")


class Odd(NamedTuple):
    """Stands in a body for anything, or for what is right there: a kind of ids, or the value itself."""

    right: Any


_EXAMPLES = [
    {"label": Odd("a"), "image": base64_of(_IMAGES[0]), "file_name": Odd("a.png")},
    {"label": Odd("b"), "image": base64_of(_IMAGES[1])},
]
_CAPTURE = {"limit": Odd(9), "days": Odd(9), "notify": Odd(2)}
_PREDICT = ["top_k", "coverage", "remember"]
# Method and path -> the names of parameters, and bodies.
REQUESTS: dict[tuple[str, str], tuple[list[str], list[Any]]] = {
    ("GET", "/v1/tasks"): (["cursor", "limit"], []),
    ("GET", "/v1/events"): (["after", "limit"], []),
    ("GET", "/v1/refreshes"): (["cursor", "limit"], []),
    ("GET", "/v1/keys"): ([], []),
    ("GET", "/v1/limits"): ([], []),
    ("GET", "/v1/tasks/{task}"): ([], []),
    ("GET", "/v1/tasks/{task}/versions"): ([], []),
    ("GET", "/v1/tasks/{task}/examples"): (["cursor", "limit", "negatives"], []),
    ("GET", "/v1/tasks/{task}/captures"): (["after", "limit"], []),
    ("GET", "/v1/tasks/{task}/archive"): ([], []),
    ("GET", "/v1/tasks/{task}/examples/{example}/image"): ([], []),
    ("GET", "/v1/tasks/{task}/captures/{capture}/image"): ([], []),
    ("GET", "/v1/refreshes/{refresh}"): ([], []),
    ("GET", "/v1/refreshes/{refresh}/tasks"): (["cursor", "limit"], []),
    ("GET", "/v1/backbones/{text}"): ([], []),
    ("POST", "/v1/tasks"): (
        [],
        [
            {"name": Odd("n"), "examples": _EXAMPLES},
            {"examples": _EXAMPLES, "options": {"C": Odd(1)}, "capture": _CAPTURE},
            {"examples": _EXAMPLES, "classes": [Odd("a"), Odd("b")]},
        ],
    ),
    ("POST", "/v1/tasks/{task}/examples"): ([], [{"examples": _EXAMPLES[:1]}]),
    ("POST", "/v1/tasks/{task}/predict"): (_PREDICT, [{"images": [base64_of(_IMAGES[2])]}]),
    ("POST", "/v1/tasks/{task}/hf"): ([], [{"inputs": base64_of(_IMAGES[2]), "parameters": {"top_k": Odd(1)}}]),
    ("POST", "/v1/predict"): (["tasks", "top_k"], [{"images": [base64_of(_IMAGES[2])], "tasks": [Odd("task"), Odd("task")]}]),
    ("POST", "/v1/tasks/{task}/corrections"): ([], [{"prediction": Odd("capture"), "label": Odd("a")}]),
    ("POST", "/v1/tasks/{task}/captures/resolve"): ([], [{"decisions": [{"captures": [Odd("capture")], "label": Odd("b")}]}]),
    ("POST", "/v1/tasks/{task}/compare"): ([], [{"candidates": [{"backbone": Odd(BUNDLE), "options": {"C": Odd(1)}}]}]),
    ("POST", "/v1/refreshes"): ([], [{"to": Odd(BUNDLE), "tasks": [Odd("task")], "max_drop": Odd(1)}]),
    ("POST", "/v1/refreshes/{refresh}/cancel"): ([], []),
    ("POST", "/v1/keys"): ([], [{"scope": "write", "task": Odd("task"), "expires_in": Odd(60)}]),
    ("POST", "/v1/keys/{key}/rotate"): ([], [{"expires_in": Odd(60)}]),
    ("PATCH", "/v1/tasks/{task}"): (
        [],
        [{"name": Odd("n")}, {"active_version": Odd(1)}, {"capture": _CAPTURE}, {"capture": {"keep": Odd("none")}}],
    ),
    ("PATCH", "/v1/tasks/{task}/examples/{example}"): ([], [{"label": Odd("b")}]),
    ("DELETE", "/v1/tasks/{text}"): ([], []),
    ("DELETE", "/v1/tasks/{task}/examples/{example}"): (["forget"], []),
    ("DELETE", "/v1/keys/{text}"): ([], []),
}
RIGHT_PARAMS = ("1", "2", "true", "0.5", "all", "latest")
HEADERS = (None, None, None, "Idempotency-Key", "X-Request-ID", "Headstart-At-Least")

_CONTROLS = st.characters(categories=("Cc", "Cs", "Lu", "Ll", "Mn"))
_ANY = st.characters(exclude_characters="«»")  # which names of ids have
TEXTS = st.sampled_from((*_ODD, *LABELS)) | st.text(_ANY, max_size=5) | st.text(_CONTROLS, max_size=4)

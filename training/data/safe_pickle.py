"""Reads pickles without running their code.

Unpickling calls whatever a file names. Here it may name containers and NumPy arrays of numbers or text only, and the functions
that rebuild those arrays are ours. NumPy's own would accept a type description whose flags let raw bytes pass for objects.
"""

import collections
import pickle
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import DataError
from training.data.memory import available_memory


def load_pickle(path: Path) -> Any:
    """Returns the content of a pickle: containers, text, numbers, and NumPy arrays of numbers.

    Raises:
        DataError: the file is missing, too large for memory, damaged, or names anything else.
    """
    try:
        size = path.stat().st_size
        if size > available_memory():
            raise DataError(f"{path} needs {size / 1e9:.1f} GB of memory, and {available_memory() / 1e9:.1f} GB are available")
        with path.open("rb") as file:
            return _Unpickler(file, path).load()
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except Exception as error:  # Damage may raise anything.
        raise DataError(f"{path} is damaged or no pickle: {error}") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, encoding="latin1")  # what Python 2 wrote: one character per byte
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """Returns our stand-in for what the file names.

        Raises:
            DataError: the file names anything but data.
        """
        module = module.replace("__builtin__", "builtins").replace("numpy._core", "numpy.core")
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise DataError(f"{self._path} is refused: it asks for {module}.{name}, which no dataset needs") from None


class _Dtype:
    """Stands for `numpy.dtype`: numbers and text only, never objects."""

    def __init__(self, code: str, *_flags: bool) -> None:
        if not re.fullmatch(r"[biuf]\d{1,2}|[SU]\d{0,9}", code):
            raise ValueError(f"arrays of type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array whose type is described by a `_Dtype`."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, description, fortran, raw = state
        super().__setstate__((version, shape, _checked(description), fortran, raw))


def _checked(description: object) -> np.dtype[Any]:
    if not isinstance(description, _Dtype):
        raise TypeError("an array without a type")
    return description.dtype


def _reconstruct(*_type_shape_and_code: object) -> _Array:
    return _Array((0,))


def _scalar(description: object, raw: bytes | str) -> Any:
    content = raw.encode("latin1") if isinstance(raw, str) else raw
    return np.frombuffer(content, _checked(description))[0].item()


def _from_buffer(buffer: bytes, description: object, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    return np.frombuffer(buffer, _checked(description)).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    """Rebuilds bytes as Python 3 writes them for Python 2."""
    if encoding != "latin1":
        raise ValueError(f"bytes written as {encoding}")
    return text.encode("latin1")


_ALLOWED: dict[str, Any] = {
    **{f"builtins.{kind.__name__}": kind for kind in (list, tuple, dict, set, bytes, bytearray)},
    "collections.OrderedDict": collections.OrderedDict,
    "collections.defaultdict": collections.defaultdict,
    "_codecs.encode": _encode,
    "numpy.ndarray": None,  # an argument of _reconstruct, never called
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
}

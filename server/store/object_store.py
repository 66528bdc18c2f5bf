"""An object store: S3, Google Cloud Storage, Azure or a folder, through obstore. Objects are small, and are never changed."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from server.errors import StorageFailed
from server.store.database import StoreError

if TYPE_CHECKING:
    from obstore.store import BackoffConfig, ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Backend

_AT_ONCE = 32
_LONGEST = 300  # characters of an error, which may quote a whole page of a proxy
_CLIENT: "ClientConfig" = {"connect_timeout": "3s", "timeout": "20s"}
_BACKOFF: "BackoffConfig" = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2}
_RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=20), "backoff": _BACKOFF}
_FAILED = "the object store of the images failed; nothing was changed; try again later"

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class ObjectMissing(Exception):
    """There is no such object."""


class Refused(Exception):
    """The failure of the object store, in a line without secrets."""


class ObjectStore:
    """Objects by their paths. Thread-safe; its calls block.

    Args:
        folder: of the objects, if they are files.

    Raises:
        StorageFailed: from every call, if the store cannot be reached or refuses.
    """

    def __init__(self, backend: "Backend", folder: Path | None = None) -> None:
        self._backend = backend
        self._folder = folder
        self._threads = ThreadPoolExecutor(_AT_ONCE, "objects")

    @classmethod
    def open(cls, url: str) -> "ObjectStore":
        """Opens the store that a URL names. Makes the folder, if it is one. Nothing is sent yet.

        obstore takes credentials from the variables of each service.

        Raises:
            StoreError: it cannot be used, or obstore is not installed.
        """
        try:
            from obstore.exceptions import BaseError
            from obstore.store import LocalStore, from_url
        except ModuleNotFoundError as error:
            raise StoreError("images-url needs obstore and cryptography: pip install '.[objects]'") from error
        scheme = url.partition(":")[0]
        try:
            if scheme == "file":
                local = LocalStore.from_url(url, automatic_cleanup=True, mkdir=True)
                return cls(local, local.prefix)
            variable = {"s3": "AWS_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}.get(scheme, "")
            plain = os.environ.get(variable, "").lower() in {"1", "true"}
            return cls(from_url(url, client_options={**_CLIENT, "allow_http": plain}, retry_config=_RETRIES))
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"the object store {url} cannot be used: {reason(error)}") from error

    def close(self) -> None:
        """Ends the threads. Calls under way end first."""
        self._threads.shutdown()

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Stores objects by their paths. When it returns, they are as durable as the store makes anything."""
        with _failures():
            self._each(self._put, *objects.items())

    def get(self, paths: Sequence[str]) -> list[bytes]:
        """Returns these objects. Raises ObjectMissing if one is not there."""
        with _failures():
            return self._each(self._get, *((path,) for path in paths))

    def delete(self, paths: Sequence[str]) -> None:
        """Removes objects. It does not matter if some are not there."""
        with _failures():
            try:
                self._backend.delete(paths)
            except FileNotFoundError:  # Of which of them, it does not say.
                self._each(self._delete, *((path,) for path in paths))

    def _each(self, call: Callable[..., _Result], *arguments: tuple[Any, ...]) -> list[_Result]:
        """Returns what the call gives for each of these arguments. After a failure, none of them is under way any more."""
        running = [self._threads.submit(call, *each) for each in arguments]
        wait(running, return_when=FIRST_EXCEPTION)
        wait([each for each in running if not each.cancel()])
        failed = (each.exception() for each in running if not each.cancelled())
        for error in filter(None, failed):
            raise error
        return [each.result() for each in running]

    def _put(self, path: str, content: bytes) -> None:
        self._backend.put(path, content, use_multipart=False)
        if self._folder is not None:
            _sync(self._folder, path)

    def _get(self, path: str) -> bytes:
        try:
            return bytes(self._backend.get(path).bytes())
        except FileNotFoundError as error:
            raise ObjectMissing(path) from error

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._backend.delete(path)


def reason(error: BaseException) -> str:
    """Returns the first line of what went wrong, without what may be a secret: queries of URLs, and names before an `@`."""
    line = str(error).partition("\n")[0][:_LONGEST]
    return re.sub(r"\?\S*|(?<=//)[^/\s@]*@", "", line)


@contextmanager
def _failures() -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        _log.error("the object store failed: %s", reason(error))
        raise StorageFailed(_FAILED) from Refused(reason(error))


def _sync(folder: Path, path: str) -> None:
    """Has a file and its folders on disk: obstore leaves that to the system."""
    file = folder / path
    for each in (file, *file.parents):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if each == folder:
            return

"""The images of tasks, fetched from Label Studio and from nowhere else."""

from threading import Lock
from typing import Any

import httpx

_MOST_BYTES = 30_000_000  # as many as a Headstart server takes of an image, unless it is set otherwise
_SECONDS = 10.0


class ImageUnavailable(Exception):
    """An image is on another host, or Label Studio does not give it."""


class Images:
    """A reader of images on one host.

    Task data may name any address, and whoever writes it must not reach other machines through this one. So only addresses with
    the scheme, the host and the port of Label Studio are fetched, and no redirect is followed.

    Args:
        url: of Label Studio.
        key: of one of its users: a personal access token, or one of its legacy tokens. None sends none.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self._base = httpx.URL(url.rstrip("/") + "/")
        self._key = key
        self._access: str | None = None
        self._refreshing = Lock()
        self._client = httpx.Client(timeout=_SECONDS, follow_redirects=False, trust_env=False)

    @property
    def host(self) -> str:
        """The host, with its port if the address has one."""
        return self._base.netloc.decode()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def fetch(self, address: object) -> bytes:
        """Returns an image's bytes.

        Args:
            address: as a task's data has it; a path is one of Label Studio's.

        Raises:
            ImageUnavailable: it is none that may be fetched, or fetching it failed.
        """
        url = self._checked(address)
        try:
            status, content = self._get(url, self._authorization())
            if status == httpx.codes.UNAUTHORIZED and self._renews:
                status, content = self._get(url, self._authorization(renew=True))
        except httpx.HTTPError as error:
            raise ImageUnavailable(f"{url} cannot be fetched: {error!r}") from error
        if status != httpx.codes.OK:
            raise ImageUnavailable(f"{url} is answered {status}")
        return content

    def _checked(self, address: object) -> httpx.URL:
        if not isinstance(address, str):
            raise ImageUnavailable(f"{address!r} is no address")
        try:
            url = self._base.join(address)
        except httpx.InvalidURL as error:
            raise ImageUnavailable(f"{address!r} is no address") from error
        if _origin(url) != _origin(self._base) or url.userinfo:
            raise ImageUnavailable(f"{address!r} is not on {self.host}, the only host from which images are fetched")
        return url

    def _get(self, url: httpx.URL, authorization: dict[str, str]) -> tuple[int, bytes]:
        content = bytearray()
        with self._client.stream("GET", url, headers=authorization) as response:
            if response.status_code == httpx.codes.OK:
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > _MOST_BYTES:
                        raise ImageUnavailable(f"{url} has more than {_MOST_BYTES} bytes")
            return response.status_code, bytes(content)

    @property
    def _renews(self) -> bool:
        """True for a personal access token, which is a JWT: it is exchanged for tokens of some minutes."""
        return self._key is not None and self._key.count(".") == 2

    def _authorization(self, *, renew: bool = False) -> dict[str, str]:
        if self._key is None:
            return {}
        if not self._renews:
            return {"Authorization": f"Token {self._key}"}
        with self._refreshing:
            if self._access is None or renew:
                response = self._client.post(self._base.join("api/token/refresh/"), json={"refresh": self._key})
                if response.status_code != httpx.codes.OK:
                    raise ImageUnavailable(f"Label Studio does not take its API key: {response.status_code}")
                body: dict[str, Any] = response.json()
                self._access = str(body["access"])
            return {"Authorization": f"Bearer {self._access}"}


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port

"""Checks, within seconds, that a file which others publish can be downloaded.

The libraries that download weights try again for a minute, or wait for as long as the resolver does. Offline that is time lost.
"""

import threading
import urllib.error
import urllib.request
from http import client
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from models.backbones.weights import RANDOM, PretrainedError

DEADLINE = 2.5  # seconds


class UnreachableError(Exception):
    """No server answers for an address; the message says why."""


def check_reachable(url: str, deadline: float = DEADLINE) -> None:
    """Asks for `url` without fetching it. Any answer will do, even a refusal, which the download then reports.

    Raises:
        UnreachableError: there is none within `deadline` seconds.
    """
    problems: list[str] = []
    # A thread, since the resolver knows no time limit.
    asking = threading.Thread(target=_ask, args=(url, 2 * deadline, problems), daemon=True)
    asking.start()
    asking.join(deadline)
    if asking.is_alive():
        raise UnreachableError(f"{urlsplit(url).hostname} does not answer within {deadline:g} s")
    if problems:
        raise UnreachableError(problems[0])


def _ask(url: str, timeout: float, problems: list[str]) -> None:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310  # The address is a library's.
    try:
        urllib.request.build_opener(_Staying).open(request, timeout=timeout).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        problems.append(f"{urlsplit(url).hostname}: {getattr(reason, 'strerror', None) or reason}")


class _Staying(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: a redirection is an answer too."""

    def redirect_request(self, *_: Any) -> None:
        return None


def check_timm_weights(config: Any, name: str) -> None:
    """Checks that timm has the weights or may download them. timm looks in a Hugging Face repository first.

    Raises:
        PretrainedError: it has none, or cannot be reached.
    """
    if not config.hf_hub_id:
        if not config.url:
            raise PretrainedError(f"timm publishes no weights for {name}; give a file with --weights FILE, or {RANDOM}")
        if not Path(torch.hub.get_dir(), "checkpoints", Path(config.url).name).exists():
            check_downloadable(name, config.url, "give it with --weights FILE")
        return
    hub: Any = import_module("huggingface_hub")
    file = config.hf_hub_filename or "model.safetensors"
    if not hub.try_to_load_from_cache(config.hf_hub_id, file):
        check_downloadable(name, hub.hf_hub_url(config.hf_hub_id, file), "give it with --weights FILE")


def check_downloadable(name: str, url: str, way: str) -> None:
    """Fails within seconds where a file cannot be downloaded; `way` says where to put one that was fetched by hand.

    Raises:
        PretrainedError: no server answers.
    """
    try:
        check_reachable(url)
    except UnreachableError as error:
        raise PretrainedError(
            f"{name} cannot be downloaded ({error}); where there is a network, fetch {url}, and here {way}"
        ) from error

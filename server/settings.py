"""Every setting of the server. Each is a flag and an environment variable `HEADSTART_<NAME>`; flags take precedence."""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, CliApp, CliExplicitFlag, SettingsConfigDict, SettingsError

from models.bundle import DEFAULT_BUNDLE, SHIPPED
from models.images.preprocess import ImageLimits
from models.processor import available_cores
from models.runtimes.kinds import EngineKind, on_cuda
from server.claims import ClaimRules, read_names
from server.hosts import ANY, is_loopback
from server.keys import SCOPES, TENANT

ENVIRONMENT_PREFIX = "HEADSTART_"


class InvalidSettings(Exception):
    """A setting is unknown or impossible; the message is one line."""


@dataclass(frozen=True, slots=True)
class Oidc:
    """The identity provider whose tokens are taken beside keys.

    Attributes:
        audiences: of which a token names one.
        jwks: path or URL of the provider's public keys.
    """

    issuer: str
    audiences: frozenset[str]
    jwks: str
    rules: ClaimRules


class Settings(BaseSettings):
    """Serves few-shot classifiers over HTTP. Every flag is also an environment variable: --data-dir is HEADSTART_DATA_DIR.

    `headstart-server keys` makes API keys, `headstart-server quotas` sets quotas, `headstart-server audit` prints who did what.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        cli_prog_name="headstart-server",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
    )

    host: str = Field("127.0.0.1", description="address to listen on; any but loopback needs keys, --oidc-issuer or --insecure")
    port: int = Field(8000, ge=1, le=65535, description="port to listen on")
    grpc_port: int | None = Field(
        None, ge=1, le=65535, description="port of the Open Inference Protocol over gRPC, at the same address (default: none)"
    )
    insecure: bool = Field(False, description="listen beyond this machine although there is no key")
    ssl_certfile: Path | None = Field(None, description="certificate in PEM, with those that it rests on: serves HTTPS")
    ssl_keyfile: Path | None = Field(None, description="its private key in PEM, unless --ssl-certfile holds it")
    oidc_issuer: str | None = Field(None, description="`iss` of the OIDC tokens that are taken beside keys")
    oidc_audience: str | None = Field(None, description="their `aud`, or several separated by commas")
    oidc_jwks: str | None = Field(None, description="path or URL of the issuer's public keys (JWKS)")
    oidc_tenant_claim: str = Field("tenant", min_length=1, description="claim that names the tenant; a.b for b within a")
    oidc_tenants: str = Field("", description="what its values stand for, VALUE=TENANT,… (default: they are tenants)")
    oidc_scope_claim: str = Field("scope", min_length=1, description="claim that names the scope; a.b for b within a")
    oidc_scopes: str = Field("", description="what its values stand for, VALUE=SCOPE,… (default: they are scopes)")
    allowed_hosts: str | None = Field(
        None,
        description="names that a request's Host may have beside those of loopback, separated by commas; *.example.org for all "
        "below it, * for any (default: none on loopback, else any)",
    )
    allowed_origins: str = Field(
        "", description="origins whose web pages may use the server, separated by commas, such as https://example.org"
    )
    root_path: str = Field(
        "", pattern=r"^(/[A-Za-z0-9._~-]+)*/?$", description="path under which a proxy offers the server, such as /headstart"
    )
    data_dir: Path = Field(Path("headstart-data"), description="folder of the embedded database")
    database_url: str | None = Field(
        None, description="sqlite:///PATH or postgresql://USER@HOST/NAME of the database (default: a file in --data-dir)"
    )
    keep_images: CliExplicitFlag[bool] = Field(
        True, description="false: of new examples only the embeddings are stored, and their images cannot be had back"
    )
    images_url: str | None = Field(
        None,
        description="s3://BUCKET/PATH, gs://, az:// or file:///FOLDER for the images of examples and captures; credentials come "
        "from that service's variables (default: images are in the database)",
    )
    bundles_dir: Path = Field(SHIPPED, description="folder of bundles; the shipped ones are always known")
    bundle: str | None = Field(
        None, description=f"bundle that new tasks get from now on, name@version (default: as last set; at first {DEFAULT_BUNDLE})"
    )
    open_bundles: int = Field(4, ge=2, description="bundles in memory at once; the one idle longest gives way to another")
    engine: EngineKind = Field("auto", description="what runs the backbone; auto takes the fastest that this machine has")
    fit_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="what fits heads; auto: the GPU of an engine, for the sizes that it fits faster; with cpu such an engine "
        "hands all that it makes to the CPU",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="processes that answer predictions; if there are several, one more does everything else (default: half the "
        "cores, or 1 where there is a GPU)",
    )
    shared_engine: bool | None = Field(
        None,
        description="with several workers, one process more runs the engines of all (default: where they run on a GPU); heads "
        "are then fitted on the CPU",
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of one inference (default: the cores we may use)")
    queue_images: int = Field(
        1024,
        ge=1,
        description="images admitted at once, of which new examples of one request may be all; beyond, refused with 503",
    )
    queue_seconds: float = Field(5.0, gt=0, description="longest wait; requests that would wait longer are refused with 503")
    max_image_bytes: int = Field(30_000_000, ge=1, description="encoded bytes of one image")
    max_image_pixels: int = Field(
        25_000_000, ge=1, description="pixels of one image; four times as many of a JPEG that is decoded at a reduced size"
    )
    max_body_bytes: int = Field(64_000_000, ge=1, description="bytes of one request's body")
    max_images: int = Field(256, ge=1, description="images of one prediction request")
    max_scores: int = Field(1_000_000, ge=1, description="scores under way at once in replies for many tasks, and of one of them")
    max_classes: int = Field(1_000, ge=2, description="classes of one task")
    max_examples: int = Field(20_000, ge=2, description="examples of one task")
    quality_drop: float = Field(
        0.05,
        ge=0,
        le=1,
        description="an event tells when a version's accuracy is lower than that before it by more than this share",
    )
    event_days: int = Field(30, ge=1, le=3650, description="age in days at which an event leaves")
    audit_days: int = Field(365, ge=30, le=3650, description="age in days at which a row of the audit leaves")
    audit_log: str | None = Field(
        None,
        min_length=1,
        description="file to which every row of the audit is appended as a line of JSON; - for standard output",
    )
    keep_alive: float = Field(
        75.0, gt=0, allow_inf_nan=False, description="seconds that a connection stays open for its next request"
    )
    header_timeout: float = Field(
        20.0, gt=0, allow_inf_nan=False, description="seconds for the first byte of a new connection, and for a request's headers"
    )
    body_timeout: float = Field(
        30.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds over which a body, or the reading of an answer, must keep to --body-rate",
    )
    body_rate: int = Field(5_000, ge=1, description="least bytes per second of a body, and of an answer that is read")
    max_connections: int | None = Field(
        None,
        ge=1,
        description="connections open at once, and of gRPC as many again (default: what the limit of open files allows, at most "
        "4096)",
    )
    drain_seconds: float = Field(
        0.0, ge=0, description="seconds after SIGTERM in which it still serves, and /readyz answers 503: for load balancers"
    )
    shutdown_timeout: int = Field(30, ge=1, description="seconds that requests under way get to finish at SIGTERM")
    log_format: Literal["auto", "text", "json"] = Field("auto", description="auto: text on a terminal, JSON otherwise")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severity that is logged")

    @model_validator(mode="after")
    def _is_possible(self) -> "Settings":
        for name, pattern in (("allowed-hosts", _HOST), ("allowed-origins", _ORIGIN)):
            for each in _split(getattr(self, name.replace("-", "_"))):
                if not pattern.fullmatch(each):
                    raise ValueError(f"{name}: {each} is not {_FORMS[name]}")
        if self.grpc_port == self.port:
            raise ValueError(f"grpc-port: {self.port} is the port of HTTP")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl-keyfile needs ssl-certfile")
        if len({self.oidc_issuer is None, self.oidc_audience is None, self.oidc_jwks is None}) > 1:
            raise ValueError("oidc-issuer, oidc-audience and oidc-jwks need each other")
        if self.images_url is not None and not _OBJECT_STORE.fullmatch(self.images_url):  # It may hold a password.
            raise ValueError("images-url: it must be s3://BUCKET/PATH, gs://, az:// or file:///FOLDER, without credentials")
        if (oidc := self.oidc) is not None and not oidc.audiences:
            raise ValueError("oidc-audience: names none")
        if self.workers is not None and self.workers > 1 and sys.platform != "linux":
            raise ValueError("workers: several need Linux")
        if self.shared_engine and self.fit_device == "cuda":
            raise ValueError("shared-engine: heads are fitted on the CPU then, not with fit-device cuda")
        if self.queue_images < self.max_images:
            raise ValueError(f"queue-images {self.queue_images} is less than max-images {self.max_images}")
        return self

    @property
    def processes(self) -> int:
        """The number of processes that answer predictions."""
        if self.workers is not None:
            return self.workers
        return 1 if self._uses_gpu or sys.platform != "linux" else max(1, available_cores() // 2)

    @property
    def shares_engine(self) -> bool:
        """True if one process runs the engines of all."""
        shares = self._uses_gpu and self.fit_device != "cuda" if self.shared_engine is None else self.shared_engine
        return self.processes > 1 and shares

    @property
    def _uses_gpu(self) -> bool:
        return on_cuda(self.engine) or (self.engine == "auto" and Path("/dev/nvidiactl").exists())

    @property
    def oidc(self) -> Oidc | None:
        """The provider whose tokens are taken; None if there is none. Raises ValueError if a mapping of claims is malformed."""
        if self.oidc_issuer is None or self.oidc_audience is None or self.oidc_jwks is None:
            return None
        tenants = read_names("oidc-tenants", self.oidc_tenants, TENANT.fullmatch)
        scopes = read_names("oidc-scopes", self.oidc_scopes, SCOPES.__contains__)
        rules = ClaimRules(self.oidc_tenant_claim, tenants, self.oidc_scope_claim, scopes)
        audiences = (audience.strip() for audience in self.oidc_audience.split(","))
        return Oidc(self.oidc_issuer, frozenset(filter(None, audiences)), self.oidc_jwks, rules)

    @property
    def exposed(self) -> bool:
        """True if other machines may reach the server although nobody said --insecure."""
        return not self.insecure and not is_loopback(self.host)

    @property
    def hosts(self) -> frozenset[str]:
        """The names by which requests may address the server, beside those of loopback."""
        if self.allowed_hosts is None:
            return frozenset() if is_loopback(self.host) else frozenset({ANY})
        return _split(self.allowed_hosts)

    @property
    def origins(self) -> frozenset[str]:
        """The origins whose web pages may use the server, beside its own."""
        return _split(self.allowed_origins)

    @property
    def scheme(self) -> str:
        """The scheme of the server's addresses."""
        return "https" if self.ssl_certfile is not None else "http"

    @property
    def root(self) -> str:
        """`root_path` without a slash at its end."""
        return self.root_path.rstrip("/")

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(self.max_image_bytes, self.max_image_pixels)


def load_settings(arguments: Sequence[str]) -> Settings:
    """Returns the settings from command-line arguments, then the environment, then the defaults.

    Raises:
        InvalidSettings: a flag or a variable is unknown, or a value is impossible.
        SystemExit: `--help` was asked for.
    """
    names = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX) and name not in names | _CLIENT_NAMES)
    if unknown:
        raise InvalidSettings(f"{unknown[0]} is set but is not a setting; see headstart-server --help")
    try:
        return CliApp.run(Settings, cli_args=list(arguments), cli_exit_on_error=False)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "-".join(map(str, problem["loc"])).replace("_", "-")
        message = problem["msg"].removeprefix("Value error, ")
        raise InvalidSettings(f"{where}: {message}, got {problem['input']!r}" if where else message) from error
    except SettingsError as error:
        raise InvalidSettings(str(error).removeprefix("error parsing CLI: ")) from error


# Variables of the same prefix that belong to the client.
_CLIENT_NAMES = {"HEADSTART_URL", "HEADSTART_TOKEN"}

_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-][a-z0-9._-]*|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(r"https?://[^/\s*@]+")
_OBJECT_STORE = re.compile(r"(s3|gs|az)://[^/?#@]+(/[^?#]*)?|file:///[^?#]+")
_FORMS = {"allowed-hosts": "a name or an address without port", "allowed-origins": "of the form https://example.org"}


def _split(names: str | None) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in (names or "").split(",") if name.strip())

"""The collector's settings: DIR/config.toml or `--config FILE`, each key also an environment variable `QUARKPULSE_…`.

What is given on the command line wins over the environment, the environment over the file, the file over the defaults.
Unknown keys are refused: a typo must not quietly leave a default in place.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from protocol import wire
from protocol.errors import PermanentError

DEFAULT_DATA = Path("/var/lib/quarkpulse")
CONFIG_NAME = "config.toml"
DATABASE_NAME = "quarkpulse.db"
MIN_WEBHOOK_SECRET_CHARS = 16
ENVIRONMENT_PREFIX = "QUARKPULSE_"
# Ours, but no settings of the collector: where its settings are, and the agent's enrolment token.
OTHER_VARIABLES = frozenset({"QUARKPULSE_CONFIG", "QUARKPULSE_TOKEN"})
# Kubernetes gives every container such variables for a service that is called quarkpulse.
_OF_KUBERNETES = re.compile(r"_(SERVICE_(HOST|PORT\w*)|PORT(_[0-9]+_(TCP|UDP)\w*)?)$")


class ConfigError(PermanentError):
    """The settings cannot be used; the message names each wrong key and where it stands."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    host: str
    port: int  # 0: the system chooses

    @classmethod
    def parse(cls, text: str) -> Self:
        """`HOST:PORT`, an IPv6 address in brackets. Raises ValueError."""
        host, separator, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"write an IPv6 address in brackets, such as [::1]:8420, not {text!r}")
        if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise ValueError(f"write it as HOST:PORT, such as 127.0.0.1:8420, not {text!r}")
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A name other than `localhost` is taken to be reachable."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class RulesEngine(StrEnum):
    EMBEDDED = "embedded"
    EXTERNAL = "external"


class Settings(BaseModel):
    """Everything that an operator decides. Made by `load_settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    data: Path = Field(default=DEFAULT_DATA, description="The folder of everything that is kept.")
    listen: str = Field(default="127.0.0.1:8420", description="`HOST:PORT`, an IPv6 address in brackets.")
    tls_certificate: Path | None = Field(
        default=None, description="PEM file with the certificate and its chain. Without it, HTTP on loopback only."
    )
    tls_key: Path | None = Field(default=None, description="PEM file with the certificate's key.")
    allow_plain_http: bool = Field(
        default=False, description="Listen beyond loopback without TLS, such as behind a proxy of one's own."
    )
    trusted_proxy: bool = Field(
        default=False,
        description="Requests from loopback may be anybody's, through a proxy: reading then always needs a token.",
    )

    rules_dir: Path | None = Field(default=None, description="Folder of rule files. Without it, the shipped packs.")
    database_url: SecretStr | None = Field(  # may hold a password
        default=None,
        description="SQLAlchemy URL of the database of customers, devices and tickets. Without it, SQLite in the data "
        "folder.",
    )

    rules_engine: RulesEngine = Field(
        default=RulesEngine.EMBEDDED,
        description="Who evaluates the rules: `embedded`, the collector; `external`, a ruler that posts its alerts to "
        "`/api/v2/alerts`. In the file also as `engine` below `[rules]`.",
    )
    evaluation_interval_seconds: float = Field(
        default=15.0, ge=1, le=3600, description="How often rule groups that name no interval are evaluated."
    )
    lookback_seconds: float = Field(
        default=300.0, ge=1, le=3600, description="How old a series' newest sample may be and still count."
    )
    long_window_bytes: int = Field(
        default=512 << 20,
        ge=1 << 20,
        description="What may be kept in memory of the samples that rules read over more than 2 hours.",
    )
    push_interval_seconds: float = Field(
        default=wire.DEFAULT_PUSH_INTERVAL_SECONDS,
        ge=1,
        le=wire.MAX_FRAME_INTERVAL_SECONDS,
        description="How often agents are told to push.",
    )
    gone_after_seconds: float = Field(
        default=300.0,
        ge=60,
        le=86_400,
        description="How long a device is silent, alone and when it should be there, until it is gone.",
    )
    retention_days: float = Field(
        default=35.0, gt=0, le=36_500, description="How long samples are kept, in whole days (UTC)."
    )
    retention_days_printers: float = Field(
        default=400.0,
        gt=0,
        le=36_500,
        description="The same for samples of printers, which are few and tell what a year's printing took.",
    )
    retention_bytes: int = Field(
        default=50 * 10**9,
        ge=10**8,
        description="What the history may take on disk; above it the oldest days go earlier, those of printers last.",
    )
    provider_plan: str = Field(
        default="monthly",
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="The plan that the built-in customer `provider` begins with; `customers set-plan` changes it.",
    )
    max_devices: int = Field(default=100_000, ge=1, description="Devices that may be enrolled.")

    storm_incidents: int = Field(
        default=5, ge=1, le=1000, description="More incidents at one customer within the time below are one storm."
    )
    storm_within_seconds: float = Field(default=600.0, ge=1, le=86_400, description="The time that makes a storm.")
    flap_changes: int = Field(
        default=6,
        ge=2,
        le=1000,
        description="So many beginnings and endings within the time below make an incident unstable.",
    )
    flap_within_seconds: float = Field(
        default=3600.0, ge=60, le=86_400, description="The time in which changes are counted."
    )
    steady_after_seconds: float = Field(
        default=1800.0, ge=60, le=86_400, description="Without a change for so long an incident is stable again."
    )
    reopen_within_seconds: float = Field(
        default=86_400.0, ge=0, le=31 * 86_400, description="A fault that is back so soon reopens its ticket."
    )

    close_after_business_days: int = Field(
        default=3,
        ge=1,
        le=60,
        description="A resolved ticket is closed after so many business days of its site.",
    )
    escalate_to: str = Field(
        default="dispatch",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="The technician, or the group of technicians, who hears of a ticket that nobody will respond to in "
        "time, where no SLA names one.",
    )
    alert_retention_days: float = Field(
        default=400.0,
        ge=1,
        le=36_500,
        description="How long alerts that are over, and the decisions about them, are kept.",
    )

    webhook_url: SecretStr | None = Field(  # may hold a token
        default=None,
        description="Told (POST, JSON) of what happens to tickets. HTTPS, or HTTP on loopback.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        min_length=MIN_WEBHOOK_SECRET_CHARS,
        description="What those calls are signed with, HMAC-SHA256; at least 16 characters.",
    )
    smtp_host: str | None = Field(
        default=None, max_length=253, description="The mail server that technicians and watchers are written through."
    )
    smtp_port: int = Field(default=587, ge=1, le=65_535, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is protected: `starttls`, `tls` from the start, or `none`."
    )
    smtp_user: str | None = Field(default=None, max_length=200, description="The user to log in as, if one is needed.")
    smtp_password: SecretStr | None = Field(default=None, description="The user's password.")
    smtp_sender: str | None = Field(
        default=None,
        max_length=254,
        pattern=r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$",
        description="The address that mail comes from.",
    )
    outbox_retention_days: float = Field(
        default=30.0, ge=1, le=36_500, description="How long it is kept what was told outside, and when."
    )

    deadman_url: SecretStr | None = Field(
        default=None,
        description="Called (GET) after each successful pass of the rules: who waits there notices when no call comes. "
        "Whoever knows it can keep that alarm quiet.",
    )
    deadman_seconds: float = Field(
        default=60.0, ge=1, le=86_400, description="The least time between two calls of that address."
    )

    @field_validator("deadman_url")
    @classmethod
    def _deadman_url_can_be_called(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not is_http_url(url.get_secret_value()):
            raise ValueError("is no address that can be called; write it like https://hc.example/ping/0123")
        return url

    @field_validator("webhook_url")
    @classmethod
    def _webhook_url_is_safe(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        if not is_http_url(url.get_secret_value()):
            raise ValueError("is no address that can be called; write it like https://desk.example/hooks/quarkpulse")
        parts = urlsplit(url.get_secret_value())
        if parts.scheme != "https" and not ListenAddress(parts.hostname or "", 0).is_loopback:
            raise ValueError("would send tickets in the clear: use https")
        return url

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, listen: str) -> str:
        ListenAddress.parse(listen)
        return listen

    @model_validator(mode="after")
    def _ways_out_are_whole(self) -> Self:
        if (self.webhook_url is None) != (self.webhook_secret is None):
            raise ValueError("webhook_url and webhook_secret belong together: set both or neither")
        if (self.smtp_host is None) != (self.smtp_sender is None):
            raise ValueError("smtp_host and smtp_sender belong together: set both or neither")
        if (self.smtp_user is None) != (self.smtp_password is None):
            raise ValueError("smtp_user and smtp_password belong together: set both or neither")
        is_near = self.smtp_host is None or ListenAddress(self.smtp_host, 0).is_loopback
        if self.smtp_user is not None and self.smtp_security == "none" and not is_near:
            raise ValueError("smtp_security = none would send smtp_password in the clear: use starttls or tls")
        return self

    @model_validator(mode="after")
    def _tls_is_whole_and_there_when_needed(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: set both or neither")
        if not (self.listen_address.is_loopback or self.uses_tls or self.allow_plain_http):
            raise ValueError(
                f"listening on {self.listen} without TLS would send secrets in the clear: set tls_certificate and "
                "tls_key, or allow_plain_http = true if a proxy of yours adds TLS"
            )
        return self

    @property
    def lookback(self) -> timedelta:
        """For how long a series' last sample counts."""
        return timedelta(seconds=self.lookback_seconds)

    @property
    def listen_address(self) -> ListenAddress:
        return ListenAddress.parse(self.listen)

    @property
    def uses_tls(self) -> bool:
        return self.tls_certificate is not None

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the state database. It may hold a password: never log it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.data.absolute() / DATABASE_NAME}"


def is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not text.split()[1:]
    except ValueError:  # a port that is none
        return False


def load_settings(data: Path | None = None, config: Path | None = None, **given: object) -> Settings:
    """The settings for the data folder `data`, from `config` or, without one, from `data`/config.toml if that exists.

    `given` are values from the command line; those that are None count as not given.
    Raises ConfigError, which names every wrong key and its place.
    """
    if config is None:
        data = data or Path(os.environ.get(variable_of("data")) or DEFAULT_DATA)
        config = data / CONFIG_NAME
        written = _read_toml(config) if config.exists() else {}
    else:
        written = _read_toml(config)
    _refuse_unknown_variables()
    environment = {
        key: os.environ[variable_of(key)] for key in Settings.model_fields if os.environ.get(variable_of(key))
    }
    command_line = {key: value for key, value in {"data": data, **given}.items() if value is not None}
    try:
        return Settings.model_validate({**written, **environment, **command_line})
    except ValidationError as exc:
        places = dict.fromkeys(written, str(config)) | dict.fromkeys(environment, "environment")
        places |= dict.fromkeys(command_line, "command line")
        problems = [_explain(error, places, config) for error in exc.errors(include_url=False)]
        raise ConfigError("\n".join(problems)) from exc


def _refuse_unknown_variables() -> None:
    known = {*map(variable_of, Settings.model_fields), *OTHER_VARIABLES}
    keys = [name.removeprefix(ENVIRONMENT_PREFIX) for name in sorted(known)]
    ours = [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX) and not _OF_KUBERNETES.search(name)]
    unknown = sorted(set(ours) - known)
    if unknown:
        told = [(name, _meant(name.removeprefix(ENVIRONMENT_PREFIX), keys, ENVIRONMENT_PREFIX)) for name in unknown]
        raise ConfigError("\n".join(f"environment: {name}: is no setting{meant}" for name, meant in told))


def _meant(name: str, known: Iterable[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def variable_of(key: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT_PREFIX + key.upper()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return _flat(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: is not valid TOML: {exc}") from exc


def _flat(written: Mapping[str, Any]) -> dict[str, Any]:
    """`engine` below `[rules]` is `rules_engine`."""
    flat: dict[str, Any] = {}
    for key, value in written.items():
        flat |= {f"{key}_{below}": one for below, one in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _explain(error: ErrorDetails, places: Mapping[str, str], config: Path) -> str:
    """One problem as `FILE: key: what is wrong`, or `environment: QUARKPULSE_KEY: …`."""
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:  # about several keys at once; the message names them
        return f"{config}: {message}"
    key = str(error["loc"][0])
    place = places.get(key, str(config))
    if error["type"] == "extra_forbidden":
        message = f"is no setting{_meant(key, Settings.model_fields)}"
    return f"{place}: {variable_of(key) if place == 'environment' else key}: {message}"

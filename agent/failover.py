"""Several addresses of the collector: the next one is asked when one fails, and the first again after a while."""

import logging
from collections.abc import Callable, Sequence

from agent.addresses import find_proxy, parse_address
from agent.answers import is_collectors
from agent.etags import bare_etag
from agent.jitter import uniform
from agent.settings import Settings, SettingsError, load_settings
from agent.state import Identity, StateFolder
from agent.tls import Trust, TrustFiles
from agent.uplink import DEADLINE_SECONDS, TIMEOUT_SECONDS, Answer, Uplink, UplinkError

logger = logging.getLogger(__name__)

RETURN_AFTER_SECONDS = (300.0, 900.0)  # a fleet that lost an address at one moment must not return at one moment


class Failover:
    """Asks like an Uplink. One thread uses it."""

    def __init__(
        self,
        uplinks: Sequence[Uplink],
        boot: Callable[[], float],
        uniform: Callable[[float, float], float] = uniform,
    ) -> None:
        self._uplinks = uplinks
        self._boot = boot
        self._uniform = uniform
        self._at = 0  # the one that answered last
        self._return_at = 0.0  # boot-time clock; while another than the first is used

    @property
    def current(self) -> Uplink:
        return self._uplinks[self._at]

    @property
    def sent_bytes(self) -> int:
        return sum(uplink.sent_bytes for uplink in self._uplinks)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """Raises UplinkError."""
        etag = bare_etag((headers or {}).get("If-None-Match"))
        return self._ask(lambda uplink: uplink.get(path, headers), etag)

    def post(self, path: str, content: bytes) -> Answer:
        """Raises UplinkError."""
        return self._ask(lambda uplink: uplink.post(path, content))

    def set_patience(
        self, timeout_seconds: float = TIMEOUT_SECONDS, deadline_seconds: float = DEADLINE_SECONDS
    ) -> None:
        for uplink in self._uplinks:
            uplink.set_patience(timeout_seconds, deadline_seconds)

    def close(self) -> None:
        for uplink in self._uplinks:
            uplink.close()

    def _ask(self, ask: Callable[[Uplink], Answer], etag: str = "") -> Answer:
        """The first answer that is the collector's own; else one that is somebody's; else the error."""
        foreign: Answer | None = None
        failure: UplinkError | None = None
        for at in self._order():
            try:
                answer = ask(self._uplinks[at])
            except UplinkError as error:
                failure = error
                continue
            if is_collectors(answer, etag):
                self._move_to(at)
                return answer
            foreign = answer
        if foreign is not None:
            return foreign
        raise failure or UplinkError("the collector has no address")

    def _order(self) -> list[int]:
        count = len(self._uplinks)
        around = [(self._at + step) % count for step in range(count)]
        if self._at == 0 or self._boot() < self._return_at:
            return around
        return [0, *(at for at in around if at != 0)]

    def _move_to(self, at: int) -> None:
        is_late = self._at != 0 and self._boot() >= self._return_at
        if at != self._at:
            logger.warning(
                "collector's address changed: from=%s to=%s", self.current.address, self._uplinks[at].address
            )
            self.current.close()
            self._at = at
        elif not is_late:
            return
        self._return_at = self._boot() + self._uniform(*RETURN_AFTER_SECONDS)


def make_uplinks(identity: Identity, secret: str | None, settings: Settings) -> list[Uplink]:
    """One for each address. Raises AddressError or SettingsError."""
    told = settings.proxy()
    trust = TrustFiles(Trust(identity.ca, identity.certificate, identity.key))
    uplinks = []
    for address in identity.collectors:
        host, *_ = parse_address(address, identity.allow_plain_http)
        uplinks.append(
            Uplink(
                address,
                secret=secret,
                trust=trust,
                allow_plain_http=identity.allow_plain_http,
                proxy=find_proxy(host, told),
            )
        )
    return uplinks


def reach(identity: Identity, secret: str | None, folder: StateFolder, boot: Callable[[], float]) -> Failover:
    """With the proxy that agent.toml names; a file with mistakes names none. Raises AddressError."""
    try:
        return Failover(make_uplinks(identity, secret, load_settings(folder.path)), boot)
    except SettingsError as error:
        logger.error("proxy settings left out: reason=%r", str(error))  # noqa: TRY400 - the message says it all
        return Failover(make_uplinks(identity, secret, Settings()), boot)

"""What the settings mean for those who are built from them."""

import ssl
from datetime import timedelta

from collector.alerting.locality import is_of_collector
from collector.alerting.pack import RulePack, load_pack
from collector.alerting.ruleset import RuleSet
from collector.config import RulesEngine, Settings
from collector.incidents.settings import IncidentSettings


def load_rules(settings: Settings) -> RulePack:
    """What the settings name, or else what is shipped. Raises RuleFileError with every problem of every file."""
    folders = [settings.rules_dir] if settings.rules_dir is not None else []
    return load_pack(folders, lookback=settings.lookback)


def own_rules(pack: RulePack, settings: Settings) -> RuleSet:
    """What the collector evaluates itself: beside an external ruler only the rules about its own health."""
    return pack.rules if settings.rules_engine is RulesEngine.EMBEDDED else pack.rules.only(is_of_collector)


def incident_settings(settings: Settings) -> IncidentSettings:
    return IncidentSettings(
        storm_incidents=settings.storm_incidents,
        storm_within=timedelta(seconds=settings.storm_within_seconds),
        flap_changes=settings.flap_changes,
        flap_within=timedelta(seconds=settings.flap_within_seconds),
        steady_after=timedelta(seconds=settings.steady_after_seconds),
        reopen_within=timedelta(seconds=settings.reopen_within_seconds),
    )


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """None: plain HTTP. Raises OSError if certificate or key cannot be used."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context

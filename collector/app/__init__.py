"""The composition root: builds what serves, joins it, and runs it until it is told to stop. Knows every other room."""

from collector.app.collector import Collector
from collector.app.serving import serve
from collector.app.settings import incident_settings, load_rules

__all__ = ["Collector", "incident_settings", "load_rules", "serve"]

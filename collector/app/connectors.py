"""The ways out that the settings name."""

from collector.clock import Clock
from collector.config import Settings
from collector.db.database import Database
from collector.desk.connectors.mail import Mail, MailSecurity, MailServer
from collector.desk.connectors.webhook import Webhook
from collector.desk.delivery import Connector


def connectors_of(settings: Settings, database: Database, clock: Clock) -> list[Connector]:
    connectors: list[Connector] = []
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        connectors.append(
            Webhook(settings.webhook_url.get_secret_value(), settings.webhook_secret.get_secret_value(), clock)
        )
    if settings.smtp_host is not None and settings.smtp_sender is not None:
        password = settings.smtp_password
        login = None if settings.smtp_user is None or password is None else (settings.smtp_user, password)
        security = MailSecurity(settings.smtp_security)
        server = MailServer(settings.smtp_host, settings.smtp_port, security, settings.smtp_sender, login)
        connectors.append(Mail(server, database, clock))
    return connectors

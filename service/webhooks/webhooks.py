"""The parts of webhooks, built from the settings."""

from service.errors import StartupError
from service.jobs.record import State, Webhook
from service.observability.metrics import Metrics
from service.settings import PREFIX, Settings
from service.webhooks.addresses import Resolver, parse_networks
from service.webhooks.courier import Courier
from service.webhooks.outbox import Outbox
from service.webhooks.sender import Sender
from service.webhooks.signature import Signer, SigningKeyError
from service.webhooks.target import Targets, parse_rules


class Webhooks:
    """What accepts webhooks, and what delivers to them."""

    def __init__(self, settings: Settings, outbox: Outbox, metrics: Metrics) -> None:
        """Raises StartupError for a setting that is wrong, or a file of keys that cannot be used."""
        try:
            rules = parse_rules(settings.webhook_hosts)
        except ValueError as error:
            expected = "hooks.example.org, *.example.org, http://name:8080 or *, with commas"
            raise StartupError(f"{PREFIX}WEBHOOK_HOSTS={error}: expected {expected}") from error
        try:
            networks = parse_networks(settings.webhook_networks)
        except ValueError as error:
            raise StartupError(f"{PREFIX}WEBHOOK_NETWORKS: {error}: expected networks as 10.0.0.0/8") from error
        self._resolver = Resolver(networks)
        self._targets = Targets(rules, self._resolver)
        seconds = settings.webhook_seconds
        sender = Sender(self._targets, self._resolver, _signer(settings), seconds)
        self._courier = Courier(outbox, sender, seconds, settings.webhook_hours, metrics)

    async def accept(self, url: str, events: tuple[State, ...]) -> Webhook:
        """Return the webhook of a job. Raises ParameterError."""
        return await self._targets.accept(url, events)

    def start(self) -> None:
        """Begin to deliver."""
        self._courier.start()

    async def stop(self) -> None:
        """Stop all deliveries."""
        await self._courier.stop()
        self._resolver.close()


def _signer(settings: Settings) -> Signer:
    name = f"{PREFIX}WEBHOOK_KEYS_FILE"
    if settings.webhook_keys_file is None:
        raise StartupError(f"{name}: expected a file of signing keys, because {PREFIX}WEBHOOK_HOSTS is set")
    try:
        return Signer(settings.webhook_keys_file)
    except SigningKeyError as error:
        raise StartupError(f"{name}={settings.webhook_keys_file}: {error}") from error

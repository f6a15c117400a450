"""Which addresses may receive messages: the hosts that the operator allows, and what a URL must look like."""

import re
from dataclasses import dataclass

import httpx

from service.errors import ParameterError, shown
from service.jobs.record import State, Webhook
from service.webhooks.addresses import AddressError, Resolver

EVENTS: tuple[State, ...] = ("done", "failed", "cancelled")
LONGEST_URL = 2000

_RULE = re.compile(r"(?:(https?)://)?(\*|(?:\*\.)?[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_PORTS = {"https": 443, "http": 80}
_LOOK_UP_SECONDS = 2.0


@dataclass(frozen=True)
class Rule:
    """An entry of IMPASTO_WEBHOOK_HOSTS. name: "*", "*.example.org" for all names below it, or a name."""

    scheme: str
    name: str
    port: int

    def allows(self, url: httpx.URL) -> bool:
        """Tell whether the scheme, the host and the port of a URL are those of the rule."""
        host = url.host.lower().removesuffix(".")
        named = self.name in {"*", host} or (self.name.startswith("*.") and host.endswith(self.name[1:]))
        return named and (url.scheme, url.port or _PORTS.get(url.scheme)) == (self.scheme, self.port)


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Read "hooks.example.org,*.example.com:8443,http://intranet:8080". Without a scheme, it is https.

    Raises ValueError with the first entry that is wrong.
    """
    rules = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        match = _RULE.fullmatch(entry)
        if match is None or int(match[3] or 1) not in range(1, 65536):
            raise ValueError(entry)
        scheme = match[1] or "https"
        rules.append(Rule(scheme, match[2].lower(), int(match[3] or _PORTS[scheme])))
    return tuple(rules)


class Targets:
    """Decides which webhooks a job may name."""

    def __init__(self, rules: tuple[Rule, ...], resolver: Resolver) -> None:
        self._rules, self._resolver = rules, resolver

    async def accept(self, url: str, events: tuple[State, ...]) -> Webhook:
        """Return the webhook. Raises ParameterError: it is malformed, not allowed, or leads to a private address.

        A name that cannot be resolved now is accepted, because it is resolved again for each message.
        """
        parsed = self.parse(url)
        try:
            await self._resolver.resolve(parsed.host, parsed.port or _PORTS[parsed.scheme], _LOOK_UP_SECONDS)
        except AddressError as error:
            if error.refused:
                raise _refusal(url, str(error), "a public address") from error
        return Webhook(url, f"{parsed.host}:{parsed.port or _PORTS[parsed.scheme]}", events)

    def parse(self, url: str) -> httpx.URL:
        """Return the parts of a URL that is allowed. Raises ParameterError."""
        expected = "an http or https URL without a user, a password and a fragment"
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise _refusal(url, "it is malformed", expected) from error
        if len(url) > LONGEST_URL:
            raise _refusal(url, f"it has {len(url)} characters", f"at most {LONGEST_URL} characters")
        if parsed.scheme not in _PORTS or not parsed.host or parsed.userinfo or parsed.fragment:
            raise _refusal(url, "it is malformed", expected)
        if not any(rule.allows(parsed) for rule in self._rules):
            raise _refusal(url, "its host is not allowed", "a host that IMPASTO_WEBHOOK_HOSTS allows")
        return parsed


def _refusal(url: str, why: str, expected: str) -> ParameterError:
    detail = f"query parameter 'webhook' is {shown(url)!r}: {why}; expected {expected}"
    return ParameterError(detail, parameter="webhook", value=shown(url), expected=expected)

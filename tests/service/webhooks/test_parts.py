"""The parts of webhooks: which addresses are public, which hosts a rule allows, how long a pause is, TLS by name."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook as Webhooks

from service.jobs.record import Delivery, Webhook
from service.webhooks.addresses import Resolver, is_public, parse_networks
from service.webhooks.courier import pause_after
from service.webhooks.sender import Sender
from service.webhooks.signature import Signer, SigningKeyError, read_signing_keys
from service.webhooks.target import Targets, parse_rules
from tests.service.webhooks.receiver import LOOPBACK, receiving, secrets, write_signing_keys

PRIVATE = """0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 127.255.0.9 169.254.169.254 172.16.0.1 192.0.2.1 192.168.1.1
    198.18.0.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1
    64:ff9b::7f00:1 64:ff9b::a00:1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1
    2001:0:4136:e378:8000:63bf:f5ff:fffe"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_no_private_address_is_public(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("rules", "url", "allowed"),
    [
        ("hooks.example.org", "https://hooks.example.org/a", True),
        ("hooks.example.org", "https://HOOKS.example.org./a", True),
        ("hooks.example.org", "https://hooks.example.org:443/a", True),
        ("hooks.example.org", "https://hooks.example.org:8443/a", False),
        ("hooks.example.org", "http://hooks.example.org/a", False),
        ("hooks.example.org", "https://hooks.example.org.evil.example/a", False),
        ("*.example.org", "https://a.b.example.org/", True),
        ("*.example.org", "https://example.org/", False),
        ("*.example.org", "https://evilexample.org/", False),
        ("a, http://intranet:8080", "http://intranet:8080/", True),
        ("*", "https://anything.example/", True),
        ("*", "http://anything.example/", False),
        ("*:8443", "https://anything.example:8443/", True),
    ],
)
def test_rules_compare_scheme_host_and_port(rules, url, allowed):
    assert any(rule.allows(httpx.URL(url)) for rule in parse_rules(rules)) is allowed


@pytest.mark.parametrize("rules", ["ftp://x", "a b", "x:0", "x:99999", "https://x/path", "*x.example.org"])
def test_rules_that_are_wrong(rules):
    with pytest.raises(ValueError, match=r".+"):
        parse_rules(rules)


def test_pauses_grow_to_an_hour_and_are_spread():
    pauses = [[pause_after(attempt) for _ in range(100)] for attempt in range(1, 40)]
    for attempt, found in enumerate(pauses):
        middle = min(5 * 4**attempt, 3600)
        assert 0.8 * middle <= min(found) < max(found) <= 1.2 * middle
    assert pause_after(1, asked=900) == 900


@pytest.mark.parametrize(
    "text", ["", "# none", "secret", "whsec_", "whsec_####", "whsec_" + "QUFB" * 5, "whsec_" + "QUFB" * 40]
)
def test_keys_that_are_wrong_are_not_shown(tmp_path, text):
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(SigningKeyError) as caught:
        read_signing_keys(path)
    assert "QUFB" not in str(caught.value)


def test_a_broken_file_of_keys_leaves_the_old_ones(tmp_path):
    path = write_signing_keys(tmp_path / "keys")
    signer, [secret] = Signer(path), secrets(path, "alice")
    path.write_text("broken")
    Webhooks(secret).verify("{}", signer.headers("1", "alice", "{}"))


def send(url, keys, rules, networks="", identity="job"):
    """What one attempt gives."""

    async def attempt():
        resolver = Resolver(parse_networks(networks))
        sender = Sender(Targets(parse_rules(rules), resolver), resolver, Signer(keys), 5)
        facts = {"request_id": "1"}
        webhook = Webhook(url, "localhost", ("cancelled",))
        try:
            return await sender.send(Delivery(identity, "alice", webhook, "cancelled", 0.0, facts, {}))
        finally:
            await sender.close()
            resolver.close()

    return asyncio.run(attempt())


def test_an_address_is_checked_at_each_attempt_too(tmp_path):
    keys = write_signing_keys(tmp_path / "keys")
    with receiving() as receiver:
        refused = send(receiver.url, keys, receiver.url)
        assert refused.status is None
        assert "which is not public" in refused.error
        assert "not allowed any more" in send(receiver.url, keys, "elsewhere.example").error
        assert "was not found" in send("https://name.invalid", keys, "*").error
        assert receiver.messages == []
        assert send(receiver.url, keys, receiver.url, LOOPBACK).taken


def certificate(folder, name):
    """A self-signed certificate: its file, and the context of a server that has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


@pytest.mark.parametrize(("name", "taken"), [("localhost", True), ("other.example", False)])
def test_a_certificate_must_be_that_of_the_name(tmp_path, monkeypatch, name, taken):
    path, context = certificate(tmp_path, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    keys = write_signing_keys(tmp_path / "keys")
    with receiving(context) as receiver:
        response = send(receiver.url, keys, receiver.url, LOOPBACK)
        assert response.taken is taken
        assert len(receiver.messages) == int(taken)
        assert taken or "certificate verify failed" in response.error

"""What a service asks before it listens where others reach it, and its second port."""

import httpx
import pytest

from service.cli.server import Server, run
from service.cli.sockets import bind, refuse_public_without_keys
from service.errors import StartupError
from service.models.registry import registry_from_settings
from service.settings import Settings
from tests.conftest import listening
from tests.keys import BOSS, bearer, write_keys
from tests.service.http.test_connection_limits import GET, connection, refused, small_service


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "::1", "localhost", "127.8.9.1", "0.0.0.0", "::", "192.168.1.4", "example.org", "localhost.evil"],
)
def test_a_public_address_wants_keys_or_to_be_told(tmp_path, host):
    if host in {"127.0.0.1", "::1", "localhost", "127.8.9.1"}:
        refuse_public_without_keys(Settings(host=host))
    else:
        with pytest.raises(StartupError) as caught:
            refuse_public_without_keys(Settings(host=host))
        message = str(caught.value)
        assert message.startswith(f"IMPASTO_HOST={host}: ")
        assert "IMPASTO_KEYS_FILE" in message
        assert "IMPASTO_ALLOW_ANONYMOUS=true" in message
    refuse_public_without_keys(Settings(host=host, allow_anonymous=True))
    refuse_public_without_keys(Settings(host=host, keys_file=tmp_path / "keys"))


def test_the_start_itself_refuses(checkpoints):
    settings = Settings(host="0.0.0.0", port=0, checkpoints=checkpoints)
    with pytest.raises(StartupError, match="everyone who reaches this address could use the service"):
        run(settings, registry_from_settings(settings))


def test_with_a_probe_port_metrics_and_administration_are_only_there(checkpoints, tmp_path):
    keys = write_keys(tmp_path / "keys")
    app = small_service(checkpoints, port=0, probe_port=0, keys_file=keys, max_connections=2)
    server = Server(app, app.state.settings, app.state.registry, bind("127.0.0.1", 0, "PROBE_PORT"))
    with listening(server) as public:
        inner = f"http://127.0.0.1:{server.servers[1].sockets[0].getsockname()[1]}"
        with httpx.Client(trust_env=False) as client:
            for probe in ("/livez", "/readyz", "/healthz"):
                assert client.get(public + probe).status_code == client.get(inner + probe).status_code == 200
            assert [client.get(each + "/metrics").status_code for each in (public, inner)] == [404, 200]
            reloads = [client.post(each + "/models/reload", headers=bearer(BOSS)) for each in (public, inner)]
            assert [each.status_code for each in reloads] == [404, 200]
            assert client.post(inner + "/models/reload").status_code == 401
            assert client.post(inner + "/upscale?factor=2", content=b"").status_code == 404
            assert client.get(inner + "/docs").status_code == 404
        with connection(public) as _, connection(public) as _, connection(public) as surplus:
            surplus.sendall(GET)
            refused(surplus, 503, "overloaded")
            assert httpx.get(inner + "/livez", trust_env=False).status_code == 200, (
                "probes have connections of their own"
            )

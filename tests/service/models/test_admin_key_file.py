"""The admin key in a file: read at the start, never shown."""

import httpx
import pytest

from service.app import create_app
from service.errors import StartupError
from service.models.registry import registry_from_settings
from service.settings import Settings
from tests.conftest import running, save_net, tiny_style_net

KEY = "a key of the tests, long enough"


def test_the_admin_key_may_stand_in_a_file(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net(1))
    (tmp_path / "key").write_text(f"{KEY}\n")
    settings = Settings(checkpoints=tmp_path, device="cpu", precision="fp32", admin_key_file=tmp_path / "key")
    with running(create_app(settings, registry_from_settings(settings))) as address:
        headers = {"Authorization": f"Bearer {KEY}"}
        assert httpx.post(f"{address}/models/reload", headers=headers, trust_env=False).status_code == 200
    assert KEY not in str(settings.model_dump(mode="json"))


@pytest.mark.parametrize("text", [None, "short", "\x00\xff" * 20])
def test_an_admin_key_file_that_holds_no_key_stops_the_start(checkpoints, tmp_path, text):
    if text is not None:
        (tmp_path / "key").write_bytes(text.encode("latin-1"))
    settings = Settings(checkpoints=checkpoints, admin_key_file=tmp_path / "key")
    with pytest.raises(StartupError, match="IMPASTO_ADMIN_KEY_FILE="):
        create_app(settings, registry_from_settings(settings))

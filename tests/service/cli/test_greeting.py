"""The commands that the service prints when it is ready."""

import re
from pathlib import Path

from service.cli.greeting import greeting


def test_the_photograph_in_the_commands_exists_wherever_the_service_is_started(app, address, tmp_path, monkeypatch):
    for folder in (tmp_path, Path(__file__).parents[3]):
        monkeypatch.chdir(folder)
        text = greeting("127.0.0.1", 8000, app.state.registry, app.state.engine, 1.0)
        photographs = re.findall(r"image=@(\S+)", text)
        assert len(photographs) == 2
        assert all(Path(name).is_file() for name in photographs)

"""The images: what is in them, and what they say when they cannot start."""

import json
from pathlib import Path

import pytest

from tests.conftest import save_net, tiny_style_net
from tests.containers.engine import BASE, docker

OPEN = ("--env", "IMPASTO_ALLOW_ANONYMOUS=true")
"""Options of a service that needs no keys."""


def inside(image: str, statements: str) -> "tuple[int, str]":
    """What Python says there; it is the only program."""
    command = ("--workdir", "/", "--entrypoint", "python", image, "-c", statements)
    result = docker("run", "--rm", *command, check=False)
    return result.returncode, result.stdout.strip()


def test_the_service_has_what_serves_and_nothing_else(service_image):
    for module in ("service", "nets", "torch", "redis", "opentelemetry.sdk", "cryptography"):
        assert inside(service_image, f"import {module}")[0] == 0, module
    for module in ("trainer", "torchvision", "pip", "pytest"):
        assert "No module named" in inside(service_image, f"import {module}")[1], module


@pytest.mark.parametrize("image", ["service_image", "trainer_image"])
def test_python_is_the_only_program(image, request):
    """No shell, no package manager, nothing setuid, and none of them in a layer below."""
    name = request.getfixturevalue(image)
    programs = (
        "import glob; print(*{p.split('/')[-1] for d in ('', 'usr/', 'usr/local/') for p in glob.glob(f'/{d}*bin/*')})"
    )
    assert {each.rstrip("0123456789.") for each in inside(name, programs)[1].split()} == {"python"}
    special = (
        "import os, stat; paths = [os.path.join(d, f) for t in ('/usr', '/opt', '/etc', '/var', '/app') "
        "for d, _, files in os.walk(t) for f in files];"
        "print([p for p in paths if os.lstat(p).st_mode & (stat.S_ISUID | stat.S_ISGID)])"
    )
    assert inside(name, special)[1] == "[]"
    for manager in ("/usr/bin/python3", "/usr/local/bin/python3"):
        said = docker("run", "--rm", "--entrypoint", manager, name, "-m", "pip", check=False)
        assert said.returncode != 0
    layers = json.loads(docker("image", "inspect", name).stdout)[0]["RootFS"]["Layers"]
    base = json.loads(docker("image", "inspect", BASE).stdout)[0]["RootFS"]["Layers"]
    assert not set(layers) & set(base)


@pytest.mark.parametrize("image", ["service_image", "trainer_image"])
def test_no_container_runs_as_root(image, request):
    name = request.getfixturevalue(image)
    assert inside(name, "import os; print(os.getuid(), os.getgid())")[1] == "10001 10001"
    config = json.loads(docker("image", "inspect", name).stdout)[0]["Config"]
    assert config["User"] == "10001:10001"
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert labels["licenses"] == "Apache-2.0 AND CC0-1.0"
    assert labels["version"] == "0.1.0"


def test_an_unknown_variant_is_refused(engine):
    result = docker("build", "-f", "docker/service.Dockerfile", "--build-arg", "VARIANT=tpu", ".", check=False)
    assert result.returncode != 0
    assert "VARIANT=tpu: expected cpu or cuda" in result.stdout


def start(image: str, *options: str, command: tuple[str, ...] = ()) -> "tuple[int, str]":
    """Run a container to its end: exit code, and the last line that it said."""
    result = docker("run", "--rm", "--read-only", "--tmpfs", "/tmp", *options, image, *command, check=False)
    return result.returncode, result.stdout.strip().splitlines()[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a user mounts over /checkpoints: one tiny style."""
    checkpoints = tmp_path / "checkpoints"
    save_net(checkpoints, "tiny", tiny_style_net())
    for path in (tmp_path, checkpoints, checkpoints / "stylize"):
        path.chmod(0o755)
    return checkpoints


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("IMPASTO_DEVICE=cuda", "impasto: IMPASTO_DEVICE=cuda: this machine shows 0 CUDA devices"),
        ("IMPASTO_MAX_REQUESTS=many", "impasto: IMPASTO_MAX_REQUESTS='many': expected a valid integer"),
        ("IMPASTO_PORT=tcp://10.0.0.1:80", "impasto: IMPASTO_PORT='tcp://10.0.0.1:80'"),
    ],
)
def test_a_bad_setting_is_one_line_and_exit_code_2(service_image, setting, message):
    code, said = start(service_image, *OPEN, "--env", setting)
    assert (code, said.startswith(message)) == (2, True), said


def test_without_keys_and_without_the_word_that_there_are_none_it_does_not_start(service_image):
    code, said = start(service_image)
    assert code == 2
    assert said.startswith("impasto: IMPASTO_HOST=0.0.0.0: everyone who reaches this address could use the service")


def test_a_mount_without_checkpoints(service_image, tmp_path):
    tmp_path.chmod(0o755)
    code, said = start(service_image, *OPEN, "--volume", f"{tmp_path}:/checkpoints:ro")
    assert (code, said) == (
        2,
        "impasto: IMPASTO_CHECKPOINTS=/checkpoints: no usable checkpoint in stylize/ or upscale/",
    )


def test_a_folder_that_the_user_may_not_read(service_image, folder):
    folder.chmod(0o700)  # and it is root's
    code, said = start(service_image, *OPEN, "--volume", f"{folder}:/checkpoints:ro")
    assert code == 2
    assert "IMPASTO_CHECKPOINTS=/checkpoints" in said
    assert "Permission denied" in said


def publish(image: str, run: Path, target: Path, *options: str, suffix: str = "") -> "tuple[int, str]":
    volumes = ("--volume", f"{run}:/app/runs/tiny:ro", "--volume", f"{target}:/checkpoints{suffix}")
    return start(image, *volumes, *options, command=("publish", "/app/runs/tiny", "--to", "/checkpoints"))


@pytest.fixture
def finished(folder: Path) -> Path:
    """A run directory with a checkpoint to publish, and beside it `target`."""
    (folder.parent / "target").mkdir()
    return folder.parent


def test_publishing_to_a_read_only_volume(trainer_image, finished):
    code, said = publish(trainer_image, finished, finished / "target", suffix=":ro")
    assert (code, said) == (1, "impasto-train: /checkpoints/stylize: Read-only file system")


def test_publishing_to_a_volume_of_another_user(trainer_image, finished):
    code, said = publish(trainer_image, finished, finished / "target")  # root's
    assert (code, said) == (1, "impasto-train: /checkpoints/stylize: Permission denied")


def test_publishing_to_a_full_disk(trainer_image, finished):
    full = ("--tmpfs", "/checkpoints:size=8k,uid=10001,gid=10001")
    volumes = ("--volume", f"{finished}:/app/runs/tiny:ro")
    code, said = start(trainer_image, *volumes, *full, command=("publish", "/app/runs/tiny", "--to", "/checkpoints"))
    assert code == 1
    assert said.startswith("impasto-train: ")
    assert "No space left on device" in said


def test_a_full_disk_ends_a_training_with_one_line(trainer_image):
    code, said = start(
        trainer_image,
        *(
            "--tmpfs",
            "/app/runs:size=64k,uid=10001,gid=10001",
            "--volume",
            f"{Path.cwd()}/docs/images/photographs:/photographs:ro",
        ),
        command=("upscale", "trainer/configs/x2.toml", "--data", "/photographs", "--iterations", "1"),
    )
    assert code == 1
    assert said.startswith("impasto-train: ")
    assert "No space left" in said or "cannot be written" in said

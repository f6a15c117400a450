"""A worker without Ray: its outputs are those of POST /stylize, and what is wrong with one image costs no other."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.cli.backends import Operation
from service.cli.bulk.job import Job
from service.cli.bulk.listing import Listing
from service.cli.bulk.places import Bucket, Folder
from service.cli.bulk.worker import Worker
from service.cli.catalogue import read_catalogue
from service.storage.location import parse_location
from tests.conftest import encoded, picture
from tests.service.cli.conftest import leftovers
from tests.service.storage.s3 import refusing_server

OPERATION = Operation("stylize", "mosaic", {"strength": 0.5})


@pytest.fixture
def listed(tmp_path):
    """Five images and three that are none, as a worker receives them."""
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    for index in range(5):
        name, kind = (f"deep/{index}.jpg", "jpeg") if index % 2 else (f"{index}.tiff", "tiff")
        (source / name).write_bytes(encoded(picture(24, 30, seed=index), kind))
    (source / "broken.png").write_bytes(encoded(picture())[:200])
    (source / "empty.png").touch()
    (source / "missing.png").symlink_to("nowhere")

    async def images():
        return [found async for found in Listing(Folder(source), "").images()]

    return asyncio.run(images())


@pytest.fixture
def worker(checkpoints, tmp_path):
    """A worker for a job with these differences."""
    made = []
    settings = {"checkpoints": checkpoints, "device": "cpu", "precision": "fp32", "decoder": "process"}

    def start(**other):
        models = read_catalogue(checkpoints).identities
        places = {"source": Folder(tmp_path / "in"), "dest": Folder(tmp_path / "out")}
        made.append(Worker(Job(**{**places, "operation": OPERATION, "settings": settings, "models": models, **other})))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.mark.long
def test_outputs_equal_those_of_the_service(worker, listed, client, tmp_path):
    process = worker().process
    with ThreadPoolExecutor(2) as threads:  # as Ray calls it
        records = [each for batch in threads.map(process, (listed[:4], listed[4:])) for each in batch]
    assert [record.name for record in records] == [found.name for found in listed]
    failed = {record.name: (record.code, record.detail) for record in records if record.code}
    assert failed.keys() == {"broken.png", "empty.png", "missing.png"}
    assert failed["broken.png"][0] == "broken_image"
    assert failed["empty.png"] == ("invalid_body", "it is empty; expected an image")
    assert failed["missing.png"] == ("file_error", f"{tmp_path}/in/missing.png: No such file or directory")
    assert not any(record.fatal for record in records)
    for record in records:
        if not record.code:
            data = (tmp_path / "in" / record.name).read_bytes()
            response = client.post("/stylize", params={"style": "mosaic", "strength": 0.5}, content=data)
            output = (tmp_path / "out" / record.output).read_bytes()
            assert output == response.content
            assert (record.bytes, record.pixels) == (len(output), 24 * 30)
            assert record.output == record.name + (".png" if record.name.endswith(".tiff") else "")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("other", "code", "detail"),
    [
        ({"version": "9"}, "other_version", "the worker has impasto 0.1.0; expected 9"),
        ({"settings": {"checkpoints": "/nowhere"}}, "startup", "IMPASTO_CHECKPOINTS=/nowhere"),
        ({"operation": Operation("stylize", "wave")}, "unknown_model", "style 'wave' is not served"),
        ({"models": frozenset()}, "other_network", "stylize/mosaic@sha256:"),
    ],
)
def test_what_is_wrong_for_every_image_is_said_of_each(worker, listed, other, code, detail):
    records = worker(**other).process(listed[:2])
    assert [(record.code, record.fatal) for record in records] == [(code, True)] * 2
    assert detail in records[0].detail


@pytest.mark.parametrize(
    ("status", "code"), [(403, "ExpiredToken"), (400, "InvalidToken"), (403, "SignatureDoesNotMatch")]
)
def test_credentials_that_expire_end_the_run_after_one_request_for_each_image_at_hand(
    worker, listed, monkeypatch, status, code
):
    with refusing_server(status, code) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        source = Bucket(parse_location(f"s3://{code.lower()}/in"))  # stores are kept by bucket
        records = worker(source=source).process(listed[:2])
    assert [(record.code, record.fatal) for record in records] == [("storage_error", True)] * 2
    assert records[0].detail == "the service may not use it: its credentials are missing, wrong or expired"
    assert server.requests == ["GET", "GET"]

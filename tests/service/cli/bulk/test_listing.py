"""What is listed, in which batches, and the names of outputs."""

import asyncio
import itertools
import json

import numpy as np
import obstore
import pytest

from service.cli.bulk.listing import Listing
from service.cli.bulk.manifest import Done, Manifest, Record
from service.cli.bulk.places import Bucket, Folder, parse_place
from service.cli.output_paths import PlanError, own_name
from service.storage.location import Location
from tests.service.storage.s3 import BUCKET, s3_server

NOTHING = Done(np.array([], "S16"))
FILES = ("b.jpg", "a.PNG", "deep/er/c.webp", "deep/a.png", "notes.txt", ".hidden/a.png", ".a.png", "out/a.png")
IMAGES = {"a.PNG", "b.jpg", "deep/a.png", "deep/er/c.webp"}


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    return Folder(tmp_path)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


def batches(listing, done=NOTHING, most=2):
    async def all_of():
        return [[found.name for found in batch] async for batch in listing.batches(done, most)]

    return asyncio.run(all_of())


def test_images_of_all_folders_in_one_order_without_the_outputs(folder):
    listing = Listing(folder, "out")
    assert batches(listing) == [["a.PNG", "b.jpg"], ["deep/a.png", "deep/er/c.webp"]]
    assert len(batches(Listing(folder, ""), most=1)) == 5
    manifest = Manifest(Folder(folder.path / "out"), {})

    async def noted():
        manifest.add([Record(each.name, each.stamp, "x") async for each in listing.images() if each.name != "b.jpg"])
        return await manifest.read() if await manifest.write() is None else None

    done = asyncio.run(noted())
    assert batches(listing, done) == [["b.jpg"]]
    (folder.path / "a.PNG").write_bytes(b"changed")
    assert batches(listing, done) == [["a.PNG", "b.jpg"]]


def test_large_files_make_small_batches(tmp_path):
    for number in range(3):
        with (tmp_path / f"{number}.png").open("wb") as file:
            file.truncate(5 * 2**20)
    assert batches(Listing(Folder(tmp_path), ""), most=16) == [["0.png", "1.png"], ["2.png"]]


def test_a_link_to_nowhere_is_listed_and_fails_later(tmp_path):
    (tmp_path / "a.png").symlink_to("nowhere")
    assert batches(Listing(Folder(tmp_path), "")) == [["a.png"]]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        batches(Listing(Folder(tmp_path / "nowhere"), ""))


def test_a_bucket_is_listed_read_and_written(s3, monkeypatch):
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    for name in FILES:
        s3.put(f"in/{name}", name.encode())
    place = parse_place("SOURCE", f"s3://{BUCKET}/in/")
    assert {name for batch in batches(Listing(place, "out")) for name in batch} == IMAGES
    assert asyncio.run(place.read("deep/a.png")) == b"deep/a.png"
    asyncio.run(place.below("new").write("b.png", b"1", "image/png"))
    assert s3.get("in/new/b.png") == (b"1", "image/png")
    manifest = Manifest(place, {"--style": "mosaic"})
    assert len(asyncio.run(manifest.read())) == 0
    manifest.add([Record("a.png", "1", "a.png")])
    asyncio.run(manifest.write())
    assert len(asyncio.run(Manifest(place, {"--style": "mosaic"}).read())) == 1
    [part] = [each["path"] for page in obstore.list(s3.store, "in/.impasto-bulk/") for each in page]
    assert json.loads(s3.get(part)[0].splitlines()[0])["--style"] == "mosaic"


def test_places_know_which_lies_in_which(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    inner, outer, other = Folder(tmp_path / "in"), Folder(tmp_path / "link"), Folder(tmp_path / "index")
    assert (inner.inside(outer), outer.inside(outer), outer.inside(inner), other.inside(inner)) == (
        "in",
        "",
        None,
        None,
    )
    inner, outer, other = (Bucket(Location("s3://b", key)) for key in ("a/in", "a", "a/index"))
    assert (inner.inside(outer), outer.inside(outer), outer.inside(inner), other.inside(inner)) == (
        "in",
        "",
        None,
        None,
    )
    assert inner.inside(Bucket(Location("s3://b", ""))) == "a/in"
    assert inner.inside(Bucket(Location("s3://c", "a"))) is None
    assert inner.inside(Folder(tmp_path)) is None


def test_urls_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_place("SOURCE", "a") == Folder(tmp_path / "a")
    assert parse_place("SOURCE", "file:///a/b/") == Folder(tmp_path / "/a/b")
    assert parse_place("SOURCE", "gs://b/c/") == Bucket(Location("gs://b", "c"))
    with pytest.raises(PlanError, match=r"DEST is 'http://x/y': it is malformed; expected a folder, s3://"):
        parse_place("DEST", "http://x/y")


def test_no_two_inputs_share_an_output():
    names = [
        "".join(endings)
        for count in (1, 2, 3)
        for endings in itertools.product((".jpg", ".png", ".jpeg"), repeat=count)
    ]
    inputs = [f"d/a{name}" for name in names] + ["d/a.b.png", "d/a.tiff", "d/a.tiff.PNG"]
    outputs = [own_name(name, kind) for name in inputs for kind in ("png",)]
    assert len(set(outputs)) == len(inputs)
    kinds = dict(zip(inputs, itertools.cycle(("png", "jpeg", "webp"))))
    assert len({own_name(name, kind) for name, kind in kinds.items()}) == len(inputs)
    assert own_name("d/a.JPG", "jpeg") == "d/a.JPG"
    assert own_name("d/a.jpg", "png") == "d/a.jpg.png"
    assert own_name("d/a.jpg.png", "png") == "d/a.jpg.png.png"
    assert own_name("d/a.b.png", "png") == "d/a.b.png"

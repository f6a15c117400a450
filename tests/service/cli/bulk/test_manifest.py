"""The manifest: what is done is known again, whatever killed the run; other settings are refused."""

import asyncio
import json

import pytest

from service.cli.bulk.manifest import FOLDER, Manifest, Record
from service.cli.bulk.places import Folder, Found
from service.cli.output_paths import PlanError

SETTINGS = {"version": "0.1.0", "--style": "mosaic", "networks": ["stylize/mosaic@sha256:1"]}


def found(name, stamp="1"):
    return Found(name, 10, stamp)


@pytest.fixture
def manifest(tmp_path):
    """A new run over DEST."""
    return lambda **other: Manifest(Folder(tmp_path), {**SETTINGS, **other})


def written(manifest, *records):
    manifest.add(records)
    asyncio.run(manifest.write())


def test_outputs_are_known_again_and_failures_are_tried_again(manifest, tmp_path):
    first = manifest()
    written(
        first,
        Record("a.png", "1", "a.png", 5, 6, 0.1),
        Record("b/é\u2028\udcff.png", "1", code="broken_image", detail="no"),
    )
    written(first, Record("c.png", "1", "c.png", 5, 6, 0.1))
    within, later = asyncio.run(first.read()), asyncio.run(manifest().read())
    assert (len(within), len(later)) == (3, 2)
    assert found("b/é\u2028\udcff.png") in within
    assert found("b/é\u2028\udcff.png") not in later
    assert found("a.png") in later
    assert found("a.png", stamp="2") not in later  # it has changed since
    assert found("d.png") not in later
    lines = [path.read_text().splitlines() for path in sorted((tmp_path / FOLDER).iterdir())]
    assert [len(each) for each in lines] == [3, 2]
    assert {json.loads(each[0])["--style"] for each in lines} == {"mosaic"}
    assert json.loads(lines[0][2]) == {
        "name": "b/é\u2028\udcff.png",
        "stamp": "1",
        "code": "broken_image",
        "detail": "no",
    }


def test_a_thousand_are_told_from_a_thousand_others(manifest):
    written(manifest(), *(Record(f"{number}.png", "1", "x") for number in range(1000)))
    done = asyncio.run(manifest().read())
    assert all(found(f"{number}.png") in done for number in range(1000))
    assert not any(found(f"{number}.jpg") in done for number in range(1000))


def test_a_new_place_has_no_manifest_and_a_started_run_has_its_settings(manifest, tmp_path):
    run = manifest()
    assert len(asyncio.run(run.read())) == 0
    written(run)
    written(run)
    [part] = (tmp_path / FOLDER).iterdir()
    assert json.loads(part.read_text()) == {"impasto_bulk": 1, **SETTINGS}


def test_other_settings_are_refused_with_what_differs(manifest):
    written(manifest())
    with pytest.raises(PlanError) as caught:
        asyncio.run(manifest(**{"--style": "wave", "--strength": 0.5}).read())
    assert str(caught.value).endswith(
        'has outputs of other settings: --style was "mosaic", is now "wave"; --strength was null, is now 0.5; '
        "expected the same, or another DEST"
    )


@pytest.mark.parametrize("content", ["", "hello", '{"colour": 1}', "[]"])
def test_a_part_without_settings_is_refused(manifest, tmp_path, content):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "x.jsonl").write_text(content)
    with pytest.raises(PlanError, match=r"x\.jsonl is no part of a manifest"):
        asyncio.run(manifest().read())


def test_a_manifest_of_a_later_version_is_refused(manifest, tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "x.jsonl").write_text('{"impasto_bulk": 2}')
    with pytest.raises(PlanError, match="a manifest of version 2; expected 1"):
        asyncio.run(manifest().read())

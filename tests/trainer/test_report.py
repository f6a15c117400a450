"""The report, from figures written by hand."""

import base64
from html.parser import HTMLParser

import pytest
from PIL import Image

from tests.conftest import picture
from trainer.errors import TrainerError
from trainer.findings import Duel, Machine, Speed, SpeedRow, Styles, Upscaling, UpscalingRow, write_part
from trainer.report import style_lines, write_report

MACHINE = Machine(processor="an <abacus> & beads", threads=2, torch_version="2.14.1", date="2026-11-23")
FALLING = [10.0 / (i + 1) for i in range(120)]  # 0.1 after 100 iterations, 2.0 after 5
VOID = {"meta", "img", "br", "link", "input", "hr"}


def duel(style, photograph, network, gatys, equal_at):
    return Duel(
        style=style,
        photograph=photograph,
        network=network,
        terms={"content": network},
        gatys=gatys,
        start="noise",
        equal_at=equal_at,
    )


DUELS = [
    duel("wave", "cat", 2.0, FALLING, 5),
    duel("wave", "cup", 4.0, FALLING, 3),
    duel("udnie", "cat", 0.01, FALLING[:50], None),
    duel("udnie", "cup", 0.03, FALLING[:50], None),
]


def score(method, factor, psnr, lpips, parameters=1000):
    return UpscalingRow(
        benchmark="Set5",
        factor=factor,
        method=method,
        parameters=parameters,
        psnr=psnr,
        ssim=psnr / 40,
        lpips=lpips,
        relu2_2=lpips,
    )


@pytest.fixture
def folder(tmp_path):
    write_part(tmp_path, Styles(machine=MACHINE, side_px=64, precision="bf16", duels=DUELS))
    row = SpeedRow(
        side_px=256, precision="bf16", network_seconds=0.04, gatys_seconds_per_iteration=0.5, timed_iterations=3
    )
    write_part(tmp_path, Speed(machine=MACHINE, style="wave", rows=[row]))
    rows = [score("bicubic", 4, 28.43, None, 0), score("x4", 4, 31.0, 0.25), score("x4_perceptual", 4, 30.0, 0.125)]
    write_part(tmp_path, Upscaling(machine=MACHINE, rows=rows))
    (tmp_path / "pictures").mkdir()
    for photograph in ("cat", "cup"):
        for kind in ("", "-wave", "-wave-gatys", "-udnie", "-udnie-gatys"):
            Image.fromarray(picture(8, 8)).save(tmp_path / "pictures" / f"{photograph}{kind}.jpg")
    return tmp_path


class Page(HTMLParser):
    """Checks that tags are balanced, and collects the text and the sources of pictures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.words, self.alt = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attributes)
        self.sources += [values[name] for name in ("src", "href") if name in values]
        self.alt += [values["alt"]] if tag == "img" else []

    def handle_startendtag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in {"src", "href"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(" ".join(data.split()))


def cells(markdown, first):
    """The cells of the table row that begins with `first`."""
    [line] = [line for line in markdown.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_style_is_averaged_over_its_photographs():
    wave, udnie = style_lines(DUELS)
    assert (wave.network, wave.gatys, wave.after, wave.equal_at) == (3.0, pytest.approx(0.1), 100, "4")
    assert not wave.reached
    assert (udnie.network, udnie.gatys, udnie.after, udnie.equal_at) == (0.02, pytest.approx(0.2), 50, "> 50")
    assert udnie.reached


def test_the_page_is_whole_and_needs_nothing_else(folder):
    path = write_report(folder, None)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    pictures = [source for source in page.sources if source.startswith("data:image/jpeg;base64,")]
    assert len(pictures) == len(page.alt) == 3 * len(DUELS)
    assert base64.b64decode(pictures[0].split(",")[1]) == (folder / "pictures" / "cat.jpg").read_bytes()
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "<script" not in text
    assert text.count("<svg") == 3
    assert "an <abacus> & beads" in " ".join(page.words)
    assert "1250" in page.words  # 100 x 0.5 s / 0.04 s
    assert "28.40" in page.words
    assert "the paper, per-pixel (unverified)" in page.words
    assert "SRCNN, published" in page.words


def test_the_markdown_has_the_same_numbers(folder, tmp_path):
    results = tmp_path / "docs" / "results.md"
    write_report(folder, results)
    text = results.read_text(encoding="utf-8")
    assert cells(text, "`wave`") == ["`wave`", "3.00", "0.10", "4", "no"]
    assert cells(text, "`udnie`") == ["`udnie`", "0.02", "0.20", "> 50", "yes"]
    assert cells(text, "256 px") == ["256 px", "0.040", "50.0", "150.0", "250.0", "1250", "3750", "6250"]
    assert cells(text, "the paper") == ["the paper", "0.015", "3.17", "9.52", "15.86", "211", "635", "1057"]
    assert cells(text, "bicubic") == ["bicubic", "-", "28.43", "0.7107", "-", "-"]
    assert cells(text, "x4") == ["x4", "1,000", "**31.00**", "**0.7750**", "0.2500", "0.2500"]
    assert cells(text, "x4_perceptual") == ["x4_perceptual", "1,000", "30.00", "0.7500", "**0.1250**", "**0.1250**"]
    assert cells(text, "the paper, perceptual (*unverified*)")[2] == "27.09"


def test_what_was_not_measured_is_said(folder, tmp_path):
    (folder / "speed.json").unlink()
    (folder / "upscaling.json").unlink()
    write_report(folder, tmp_path / "results.md")
    text = (tmp_path / "results.md").read_text()
    assert "Not measured: `compare --part speed` does." in text
    assert "Not measured: `compare --part upscaling` does." in text
    assert "`wave`" in text


def test_an_empty_folder_is_no_report(tmp_path):
    with pytest.raises(TrainerError, match="holds no figures"):
        write_report(tmp_path, None)

"""The report, from figures written by hand."""

import base64
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from tests.conftest import picture
from trainer.errors import TrainerError
from trainer.evaluation.report import style_lines, write_report
from trainer.evaluation.results import Duel, Machine, Speed, SpeedRow, Styles, Upscaling, UpscalingRow, write_part

MACHINE = Machine(processor="an <abacus> & beads", threads=2, torch_version="2.14.1", date="2026-11-23")
FALLING = [10.0 / (i + 1) for i in range(120)]  # 0.1 after 100 iterations, 2.0 after 5
DASH = "\N{EN DASH}"
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
        self.open, self.sources, self.words, self.alt, self.ids = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attributes)
        self.note(values)
        self.alt += [values["alt"]] if tag == "img" else []

    def handle_startendtag(self, tag, attributes):
        self.note(dict(attributes))

    def note(self, values):
        self.sources += [values[name] for name in ("src", "href", "xlink:href") if name in values]
        self.ids += [values["id"]] if "id" in values else []

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


def test_a_duel_that_gatys_did_not_win_counts_as_no_less_than_its_length():
    [style] = style_lines([duel("wave", "cat", 2.0, FALLING, 5), duel("wave", "cup", 0.01, FALLING, None)])
    assert style.equal_at == "> 62"  # (5 + 120) / 2 is 62.5, and the true mean is more
    [style] = style_lines([duel("wave", name, 0.01, FALLING[:100], None) for name in ("cat", "cup")])
    assert style.equal_at == "> 100"


def test_the_page_is_whole_and_needs_nothing_else(folder):
    path = write_report(folder, None)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    pictures = [source for source in page.sources if source.startswith("data:image/jpeg;base64,")]
    assert len(pictures) == len(page.alt) == 3 * len(DUELS)
    assert base64.b64decode(pictures[0].split(",")[1]) == (folder / "pictures" / "cat.jpg").read_bytes()
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "<script" not in text
    assert text.count("<svg") == text.count('<svg role="img" aria-label="') == 3
    assert len(page.ids) == len(set(page.ids))
    assert {source[1:] for source in page.sources if source.startswith("#")} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(page.ids)
    assert "equal after 4." in text  # the mean network, 3.0, is met by 10 / 4
    assert "an <abacus> & beads" in " ".join(page.words)
    assert "1250" in page.words  # 100 x 0.5 s / 0.04 s
    assert "28.40" in page.words
    assert "the paper, per-pixel (unverified)" in page.words
    assert "SRCNN, published" in page.words
    assert "bicubic, published" in page.words
    assert "0.20 (after 50)" in page.words
    assert "> 50" in page.words


def test_the_same_figures_give_the_same_page(folder):
    first = write_report(folder, None).read_bytes()
    assert write_report(folder, None).read_bytes() == first


def test_the_markdown_has_the_same_numbers(folder, tmp_path):
    results = tmp_path / "docs" / "results.md"
    write_report(folder, results)
    text = results.read_text(encoding="utf-8")
    assert cells(text, "`wave`") == ["`wave`", "3.00", "0.10", "4", "no"]
    assert cells(text, "`udnie`") == ["`udnie`", "0.02", "0.20 (after 50)", "> 50", "yes"]
    assert "256 px |" not in text, "the speed stands once in docs/results.md: in the section of `make bench PART=paper`"
    assert cells(text, "bicubic") == ["bicubic", DASH, "28.43", "0.7107", DASH, DASH]
    assert cells(text, "x4") == ["x4", "1,000", "**31.00**", "**0.7750**", "0.2500", "0.2500"]
    assert cells(text, "x4_perceptual") == ["x4_perceptual", "1,000", "30.00", "0.7500", "**0.1250**", "**0.1250**"]
    assert cells(text, "the paper, perceptual (*unverified*)")[2] == "27.09"
    assert cells(text, "bicubic, published")[2] == "28.42"
    assert "The paper found 50 to 100 (*unverified*)." in text
    assert text.startswith("<!-- begin python -m trainer compare: written by a command, not by hand -->\n# Results\n")
    assert not [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")]
    assert text.count("Measured on") == 1


def test_what_was_not_measured_is_said(folder, tmp_path):
    (folder / "speed.json").unlink()
    (folder / "upscaling.json").unlink()
    write_report(folder, tmp_path / "results.md")
    text = (tmp_path / "results.md").read_text()
    assert "Not measured: `compare --part upscaling` does." in text
    assert "`wave`" in text
    assert "Not measured:" in (folder / "report.html").read_text()


def test_parts_of_different_days_say_so(folder, tmp_path):
    later = MACHINE.model_copy(update={"date": "2026-11-24"})
    styles = Styles.model_validate_json((folder / "styles.json").read_text())
    write_part(folder, styles.model_copy(update={"machine": later}))
    write_report(folder, tmp_path / "results.md")
    text = (tmp_path / "results.md").read_text()
    assert "Measured on 2026-11-24 (styles): " in text
    assert "Measured on 2026-11-23 (super-resolution): " in text


def test_a_picture_that_was_not_kept_is_said(folder):
    (folder / "pictures" / "cup-wave-gatys.jpg").unlink()
    page = Page(write_report(folder, None).read_text())
    assert "cup by Gatys et al. in the style wave: this picture was not kept." in page.words


def test_without_lpips_there_is_no_scatter_plot(folder):
    rows = [score("bicubic", 4, 28.43, None, 0), score("x4", 4, 31.0, None)]
    write_part(folder, Upscaling(machine=MACHINE, rows=rows))
    assert write_report(folder, None).read_text().count("<svg") == 2


def test_an_empty_folder_gives_no_report(tmp_path):
    with pytest.raises(TrainerError, match="contains no measurements"):
        write_report(tmp_path, None)

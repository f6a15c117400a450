"""What the documents say of settings, metrics and errors is what the code has."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from scripts import gallery, metrics, settings
from service.errors import ClientLeftError, ServiceError
from service.observability.metrics import Metrics
from service.settings import Settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
RESULTS = (DOCS / "results.md").read_text()
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("[A-Z]*.md"), *DOCS.rglob("*.md")])
GENERATED = {"gallery.md", "metrics.md", "results.md", "settings.md"}
MOST_WORDS = 20_000
"""The limit for all hand-written pages together."""

PLAIN = {
    r"(^|[.,;:(|]|\b(for|to|by|of|from|than|beside|and|or|in)) *who\b": "name the person or program",
    r"\bhangs? up|\bhung up|\bhanging up": "disconnect",
    r"\bknobs?\b(?!\.)": "parameter",
    r"\bcompanions?\b": "side worker",
    r"\bsays? no\b": "refuse",
}
"""Private vocabulary and translated phrases, with what to write instead."""


def test_the_settings_page_is_up_to_date():
    assert settings.document() == settings.PATH.read_text(), "run `make settings`"


def test_the_gallery_is_up_to_date():
    assert gallery.document() == gallery.PATH.read_text(), "run `make pictures`"


def test_every_setting_has_a_description_and_one_row():
    rows = re.findall(
        r"^\| `IMPASTO_(\w+)` \| .* \| \S.*\.( From \d+ to \d+\.)? \|$", settings.document(), re.MULTILINE
    )
    assert sorted(name.lower() for name, _ in rows) == sorted(Settings.model_fields)


def test_the_metrics_page_is_up_to_date_and_lists_every_metric():
    text = metrics.PATH.read_text()
    assert metrics.document() == text, "run `make settings`"
    for family in Metrics(CollectorRegistry()).registry.collect():
        name = {"counter": f"{family.name}_total", "info": f"{family.name}_info"}.get(family.type, family.name)
        assert f"`{name}`" in text


def test_every_error_is_documented_with_its_status():
    documented = {}
    for codes, statuses in re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \| ([\d, ]+) \|", (DOCS / "http.md").read_text(), re.MULTILINE
    ):
        documented |= zip(re.findall(r"`(\w+)`", codes), map(int, statuses.split(", ")), strict=True)
    for error in kinds(ServiceError):
        if error is not ClientLeftError:  # nobody reads it
            assert documented.get(error.code) == error.status, error.code


def test_every_defence_of_the_threat_model_names_a_test_that_exists():
    text = (DOCS / "threat-model.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 40
    for file, test in named:
        assert re.search(rf"^def {test}\(", (DOCS.parent / file).read_text(), re.MULTILINE), f"{file}::{test}"
    for line in re.findall(r"^\| (.*) \|$", re.split(r"^## Attackers", text, flags=re.MULTILINE)[1], re.MULTILINE):
        attack, _, tests = line.split(" | ")
        assert tests in {"test", "---|---|---"} or tests.startswith(("`tests/", "none: ")), attack


def tables(text: str) -> list[list[list[str]]]:
    """Every Markdown table of a text: its header and its rows, each a list of cells without emphasis."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    lines = [[line.strip()[1:-1].split("|") for line in table.splitlines()] for table in found]
    return [[[cell.strip().replace("**", "") for cell in row] for row in table] for table in lines]


def section(text: str, title: str) -> str:
    (found,) = re.findall(rf"^#+ {re.escape(title)}\n.*?(?=^## |^<!-- end|\Z)", text, re.MULTILINE | re.DOTALL)
    return found


def test_the_readme_compares_servers_by_the_figures_of_the_results():
    throughput, overload, *_ = tables(section(RESULTS, "Beside other servers"))
    per_second = {row[0]: row[throughput[0].index("8")] for row in throughput}
    in_time = {row[0]: row[overload[0].index("in time/s")] for row in overload}
    (quoted,) = tables(section(README, "Compared with other servers"))
    assert len(quoted) == 7
    for name, *cells in quoted[2:]:
        arms = ["as installed"] if name == "Impasto" else ["as documented", "our network settings"]
        for cell, measured in zip(cells, (per_second, in_time), strict=True):
            assert cell == " / ".join(measured[f"{name}, {arm}"] for arm in arms), name


def test_the_readme_gives_the_quality_of_upscaling_that_the_results_give():
    (quoted,) = tables(section(README, "Upscaling quality"))
    assert [row[0] for row in quoted[2:]] == ["x2", "x4", "x8"]
    for factor, *cells in quoted[2:]:
        (measured,) = tables(re.split(rf"^### Set5, {factor}\n", RESULTS, flags=re.MULTILINE)[1].split("\n### ")[0])
        rows = {row[0]: dict(zip(measured[0], row, strict=True)) for row in measured}
        for cell, method in zip(cells, ("bicubic", factor, f"{factor}_perceptual"), strict=True):
            assert cell == f"{rows[method]['PSNR']} / {rows[method]['LPIPS']}", (factor, method)


def words(path: Path) -> int:
    """Words, and not the numbers and bars of tables."""
    return len(re.findall(r"\S*[A-Za-z]\S*", path.read_text()))


def test_the_documents_stay_short():
    assert words(ROOT / "README.md") < 900
    assert sum(words(path) for path in DOCS.rglob("*.md") if path.name not in GENERATED) < MOST_WORDS


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_use_plain_terms(path):
    """The rules of *Style* in CONTRIBUTING.md that a pattern can check; reading checks the others."""
    text = path.read_text()
    if path.name == "CONTRIBUTING.md":
        text = text.replace(section(text, "Style"), "")  # it quotes what to avoid
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in PLAIN.items():
            assert not re.search(pattern, line, re.IGNORECASE), f"{path.name}:{number}: {instead}: {line}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_that_documents_name_exist(path):
    tests = {test.name for test in (ROOT / "tests").rglob("*.py")}
    for name in re.findall(r"`(?:tests/[\w/]*)?(test_\w+\.py)", path.read_text()):
        assert name in tests, name


def kinds(error):
    for kind in error.__subclasses__():
        yield kind
        yield from kinds(kind)

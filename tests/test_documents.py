"""What the documents say of settings, metrics and errors is what the code has."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from service.errors import ClientLeftError, ServiceError
from service.observability.metrics import Metrics
from service.settings import PREFIX, Settings

DOCS = Path(__file__).parent.parent / "docs"
OPERATIONS = (DOCS / "operations.md").read_text()


def settings_table():
    """{variable: default as documented}; a row may have several of both."""
    rows = re.findall(r"^\| ((?:`IMPASTO_\w+`(?:, )?)+) \|([^|]*)\|", OPERATIONS, re.MULTILINE)
    documented = {}
    for names, defaults in rows:
        variables = re.findall(r"`(\w+)`", names)
        values = [value.strip().strip("`") for value in defaults.split(",")]
        documented |= zip(variables, values if len(values) == len(variables) else values * len(variables), strict=True)
    return documented


def test_every_setting_is_documented_with_its_default():
    documented = settings_table()
    fields = {f"{PREFIX}{name.upper()}": field.default for name, field in Settings.model_fields.items()}
    assert set(documented) == set(fields)
    for variable, default in fields.items():
        assert documented[variable] == ("" if default is None else str(default)), variable


def test_every_metric_is_documented():
    names = set()
    for family in Metrics(CollectorRegistry()).registry.collect():
        names.add({"counter": f"{family.name}_total", "info": f"{family.name}_info"}.get(family.type, family.name))
    documented = set(re.findall(r"`(impasto_\w+)`", OPERATIONS))
    assert names == documented


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
    for line in re.findall(r"^\| (.*) \|$", re.split(r"^## Who may attack", text, flags=re.MULTILINE)[1], re.MULTILINE):
        attack, _, tests = line.split(" | ")
        assert tests in {"test", "---|---|---"} or tests.startswith(("`tests/", "none: ")), attack


def kinds(error):
    for kind in error.__subclasses__():
        yield kind
        yield from kinds(kind)

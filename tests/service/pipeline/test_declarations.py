"""The parameters are declared once. The client, the command line, the page and the documents agree with them."""

import inspect
import json
import re
import typing
from html.parser import HTMLParser
from pathlib import Path

import annotated_types
import pytest

from impasto import parameters as client
from service.cli import pictures
from service.http.routes.objects import ObjectParameters
from service.http.routes.webhooks import WebhookParameters
from service.images.formats import LOSSLESS
from service.pipeline.parameters import (
    LARGEST_FACTOR,
    LARGEST_STROKE,
    MOST_STYLES,
    StylizeParameters,
    UpscaleParameters,
    parse_parameters,
)

ROOT = Path(__file__).parents[3]
MODELS = {"stylize": StylizeParameters, "upscale": UpscaleParameters}
NAMED = {"stylize": "style", "upscale": "factor"}
EVERY = [(task, name) for task, model in MODELS.items() for name in model.model_fields]


def bounds(field):
    """(lowest, highest) of a declared number, each None without one."""
    found = {type(each): each for each in field.metadata}
    for part in typing.get_args(field.annotation):  # of an optional number they are inside
        found |= {type(each): each for each in getattr(part, "__metadata__", ())}
    low, high = found.get(annotated_types.Ge), found.get(annotated_types.Le)
    return low.ge if low else None, high.le if high else None


def literals(annotation):
    """The values of a declared choice, or an empty set."""
    kinds = [annotation]
    for kind in kinds:
        if typing.get_origin(kind) is typing.Literal:
            return set(typing.get_args(kind))
        kinds.extend(each for each in typing.get_args(kind) if each is not type(None))
    return set()


@pytest.mark.parametrize(
    ("task", "kind"), [("stylize", client.StylizeParameters), ("upscale", client.UpscaleParameters)]
)
def test_the_client_has_the_same_names_and_choices(task, kind):
    model = MODELS[task]
    hints = typing.get_type_hints(kind)
    assert set(hints) == set(model.model_fields) - {NAMED[task], "deadline_ms"}  # arguments of their own
    for name in ("format", "profile", "metadata"):
        assert set(typing.get_args(hints[name])) == literals(model.model_fields[name].annotation)


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_the_command_line_has_the_same_bounds_and_choices(task, name):
    command = getattr(pictures, task)
    hints = typing.get_type_hints(command, include_extras=True)
    if name == "deadline_ms":
        assert name not in hints  # a command has no deadline
        return
    field = MODELS[task].model_fields[name]
    (option,) = hints[name].__metadata__
    assert (option.min, option.max) == bounds(field)
    assert name in {"stroke", "factor"} or literals(hints[name].__origin__) == literals(field.annotation)
    default = inspect.signature(command).parameters[name].default
    assert default in {None, inspect.Parameter.empty}  # the service's own default counts


class Controls(HTMLParser):
    """The attributes of every control of the page by its id, and the values of every select."""

    def __init__(self):
        super().__init__()
        self.found, self.options, self.select = {}, {}, None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in {"input", "select"} and "id" in given:
            self.found[given["id"]] = given
        self.select = given["id"] if tag == "select" else self.select
        if tag == "option":
            self.options.setdefault(self.select, set()).add(given.get("value"))


@pytest.fixture(scope="module")
def controls():
    parser = Controls()
    parser.feed((ROOT / "service/http/web/index.html").read_text())
    return parser


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_the_page_offers_nothing_that_the_service_refuses(controls, task, name):
    if name in {"style", "deadline_ms", "stroke", "factor"}:  # a gallery; seconds; below
        return
    field, control = MODELS[task].model_fields[name], controls.found[name]
    low, high = bounds(field)
    for bound, declared in (("min", low), ("max", high)):
        if bound in control:
            assert float(control[bound]) == declared, name
    assert controls.options.get(name, set()) - {""} <= literals(field.annotation)
    if control.get("type") == "range":
        assert float(control["value"]) == field.default


def test_the_page_offers_lossless_for_the_formats_that_have_it(controls):
    assert set(controls.found["lossless"]["data-formats"].split()) == LOSSLESS


def test_the_pages_strokes_are_the_services(controls):
    times = controls.found["stroke-times"]
    assert (times["min"], times["max"]) == ("1", f"{LARGEST_STROKE:g}")
    for value in controls.options["stroke"] - {"larger"} | {times["min"], times["max"]}:
        assert parse_parameters(StylizeParameters, {"style": "mosaic", "stroke": value})


def test_the_pages_factors_are_the_services(controls):
    factor = controls.found["factor"]
    assert (factor["min"], factor["max"]) == ("1", f"{LARGEST_FACTOR:g}")
    for value in (factor["min"], factor["max"], "max"):
        assert parse_parameters(UpscaleParameters, {"factor": value})


@pytest.mark.parametrize("task", MODELS)
def test_the_openapi_document_has_the_same_parameters(task):
    document = json.loads((ROOT / "docs/openapi.json").read_text())
    declared = document["paths"][f"/{task}"]["post"]["parameters"]
    query = {each["name"]: each for each in declared if each["in"] == "query"}
    assert list(query) == [*MODELS[task].model_fields, *ObjectParameters.model_fields, *WebhookParameters.model_fields]
    for name, field in MODELS[task].model_fields.items():
        assert query[name]["description"] == field.description
        assert query[name]["required"] == field.is_required()


def test_the_documentation_has_the_same_bounds():
    text = (ROOT / "docs/http.md").read_text()
    for task, name in EVERY:
        if name == "deadline_ms":
            continue
        field = MODELS[task].model_fields[name]
        low, high = bounds(field)
        found = re.search(rf"`{name}=([\d.]+)\.\.([\d.]*)`", text)
        if low is not None:
            assert float(found[1]) == low, name
            assert not found[2] or float(found[2]) == high, name
        for choice in literals(field.annotation) if name in {"format", "profile", "metadata", "source"} else ():
            assert f"`{choice}`" in text or f"={choice}`" in text, choice
    words = {1: "one", 2: "two", 3: "three", 4: "four"}
    assert f"up to {words[MOST_STYLES]} with weights" in text

"""Requests made from the OpenAPI document, as it allows them and as it does not: never an error of ours."""

import base64

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS

from scripts.openapi import PATH
from tests.conftest import encoded, picture

schemathesis.openapi.format("base64-picture", st.just(base64.b64encode(encoded(picture(9, 7))).decode()))
for media_type, kind in {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp", "image/tiff": "tiff"}.items():
    bodies = [encoded(picture(9, 7), kind), encoded(picture(64, 70), kind), encoded(picture(9, 7), kind)[:60], b""]
    schemathesis.openapi.media_type(media_type, st.sampled_from(bodies))
for media_type in ("image/gif", "image/avif", "image/bmp"):
    schemathesis.openapi.media_type(media_type, st.binary(max_size=100))

DOCUMENT = schemathesis.openapi.from_path(PATH)
MODES = schemathesis.GenerationMode
EXAMPLES = {"/stylize": 100, "/upscale": 100}
OTHERS = 8
SERVED = {"style": ["mosaic", "mosaic:0.5,starry_night", "starry_night:1"], "factor": [1, 1.5, 2, 4, 3.99]}
CHECKED = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "response_headers_conformance",
    ]
)


CAN_BE_WRONG = {"/stylize", "/upscale", "/models/{task}/{name}"}


def trials():
    for result in DOCUMENT.get_all_operations():
        operation = result.ok()
        yield pytest.param(operation, MODES.POSITIVE, id=f"{operation.path} as allowed")
        if operation.path in CAN_BE_WRONG:
            yield pytest.param(operation, MODES.NEGATIVE, id=f"{operation.path} as not allowed")


@pytest.mark.parametrize(("operation", "mode"), list(trials()))
def test_the_document_is_true(address, operation, mode):
    seen = set()

    @settings(
        max_examples=EXAMPLES.get(operation.path, OTHERS),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), served=st.data())
    def never_an_error_of_ours(case, served):
        for name, values in SERVED.items():
            if case.query and name in case.query and served.draw(st.booleans()):
                case.query[name] = served.draw(st.sampled_from(values))
        response = case.call(base_url=address)
        late = response.status_code == 504 and response.json()["code"] == "deadline_exceeded"
        assert response.status_code < 500 or late, response.text
        case.validate_response(response, checks=CHECKED)
        seen.add(response.status_code)

    never_an_error_of_ours()
    if operation.path in EXAMPLES:
        assert 422 in seen
        assert mode is MODES.NEGATIVE or 200 in seen

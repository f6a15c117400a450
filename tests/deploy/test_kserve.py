"""k8s/kserve by the models of KServe's own API (PyPI's kserve), and the settings that it gives the service."""

import json

import pytest

from service.settings import Settings
from tests.deploy.faults import of_kind
from tests.deploy.test_names import ROUTES
from tests.deploy.tools import ROOT, manifests, run

SCRIPT = """
import json, sys
from kserve import V1alpha1ServingRuntime, V1beta1InferenceService
from kserve.api_client import ApiClient
from types import SimpleNamespace
client, kinds = ApiClient(), {"ServingRuntime": V1alpha1ServingRuntime, "InferenceService": V1beta1InferenceService}
given = json.load(sys.stdin)
response = SimpleNamespace(data=json.dumps(given))
print(json.dumps(client.sanitize_for_serialization(client.deserialize(response, kinds[given["kind"]]))))
"""


def by_kserve(manifest):
    """What KServe's models make of a manifest: they drop fields that they do not know."""
    python = ROOT / ".venv-kserve/bin/python"
    if not python.exists():
        pytest.skip("kserve is not here: `make inference-clients` installs it")
    result = run(str(python), "-c", SCRIPT, input=json.dumps(manifest))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_the_models_of_kserve_know_every_field():
    found = manifests(ROOT / "k8s/kserve")
    assert {each["kind"] for each in found} == {"ServingRuntime", "InferenceService"}
    for manifest in found:
        assert by_kserve(manifest) == manifest
    [wrong] = of_kind(found, "InferenceService")
    wrong["spec"]["predictor"]["model"]["storageUrl"] = wrong["spec"]["predictor"]["model"].pop("storageUri")
    assert by_kserve(wrong) != wrong


def test_the_service_finds_what_kserve_gives_it():
    found = manifests(ROOT / "k8s/kserve")
    [runtime], [service] = of_kind(found, "ServingRuntime"), of_kind(found, "InferenceService")
    [container] = runtime["spec"]["containers"]
    given = {each["name"].removeprefix("IMPASTO_").lower(): each["value"] for each in container["env"]}
    settings = Settings(**given)
    assert str(settings.checkpoints) == "/mnt/models"
    assert settings.port == container["ports"][0]["containerPort"] == 8080
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == settings.port
        assert (asked["path"], "GET") in ROUTES
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in [each["name"] for each in runtime["spec"]["supportedModelFormats"]]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]

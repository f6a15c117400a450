"""k8s/kserve by the models of KServe's own API (PyPI's kserve), and the settings that it gives the service."""

import json

import pytest

from service.settings import Settings
from tests.deploy.faults import of_kind
from tests.deploy.tools import ROOT, manifests, run

SCRIPT = """
import json, re, sys
import kserve.models, kubernetes.client.models

def unknown(value, kind, where):
    if kind.startswith("list["):
        return [each for i, part in enumerate(value) for each in unknown(part, kind[5:-1], f"{where}[{i}]")]
    own = getattr(kserve.models, kind, None)
    if own is None:
        other = vars(kubernetes.client.models).get(kind) or getattr(kubernetes.client.models, kind, None)
        if other is None:
            return []
        other.from_dict(value)
        snake = {name: re.sub("([A-Z])", "_\\\\1", name).lower() for name in value}
        return [f"{where}.{name}" for name in value if snake[name] not in other.model_fields]
    names = {name: attribute for attribute, name in own.attribute_map.items()}
    found = [f"{where}.{name}" for name in value if name not in names]
    for name in value.keys() & names.keys():
        found += unknown(value[name], own.openapi_types[names[name]], f"{where}.{name}")
    return found

kinds = {"ServingRuntime": "V1alpha1ServingRuntime", "InferenceService": "V1beta1InferenceService"}
given = json.load(sys.stdin)
print(json.dumps(unknown(given, kinds[given["kind"]], given["kind"])))
"""


def unknown_fields(manifest):
    """The fields of a manifest that the models of KServe, and those of Kubernetes within them, do not have."""
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
        assert unknown_fields(manifest) == []
    [wrong], [runtime] = of_kind(found, "InferenceService"), of_kind(found, "ServingRuntime")
    wrong["spec"]["predictor"]["model"]["storageUrl"] = wrong["spec"]["predictor"]["model"].pop("storageUri")
    assert unknown_fields(wrong) == ["InferenceService.spec.predictor.model.storageUrl"]
    runtime["spec"]["containers"][0]["environment"] = []
    assert unknown_fields(runtime) == ["ServingRuntime.spec.containers[0].environment"]


def test_the_service_finds_what_kserve_gives_it():
    found = manifests(ROOT / "k8s/kserve")
    [runtime], [service] = of_kind(found, "ServingRuntime"), of_kind(found, "InferenceService")
    [container] = runtime["spec"]["containers"]
    given = {each["name"].removeprefix("IMPASTO_").lower(): each["value"] for each in container["env"]}
    settings, document = Settings(**given), json.loads((ROOT / "docs/openapi.json").read_text())
    assert str(settings.checkpoints) == "/mnt/models"
    assert settings.port == container["ports"][0]["containerPort"] == 8080
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == settings.port
        assert "get" in document["paths"][asked["path"]]
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in [each["name"] for each in runtime["spec"]["supportedModelFormats"]]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]

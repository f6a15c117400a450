"""Names of the operations in the OpenAPI document, from which generated clients take the names of their functions."""

from collections.abc import Mapping
from typing import Any

_IDS: Mapping[str, str] = {
    "post /stylize": "stylize",
    "post /upscale": "upscale",
    "get /jobs/{identity}": "get_job",
    "delete /jobs/{identity}": "delete_job",
    "get /jobs/{identity}/events": "get_job_events",
    "get /jobs/{identity}/result": "get_job_result",
    "post /styles": "learn_style",
    "get /styles/{name}": "get_style",
    "delete /styles/{name}": "delete_style",
    "get /styles/{name}/events": "get_style_events",
    "get /styles/{name}/preview": "get_style_preview",
    "get /models": "list_models",
    "get /models/{task}/{name}": "get_model",
    "get /models/stylize/{name}/thumbnail": "get_thumbnail",
    "post /models/reload": "reload_models",
    "get /limits": "get_limits",
    "get /livez": "livez",
    "get /readyz": "readyz",
    "get /healthz": "healthz",
    "get /metrics": "get_metrics",
    "get /v2": "v2_server_metadata",
    "get /v2/health/live": "v2_server_live",
    "get /v2/health/ready": "v2_server_ready",
    "post /v2/repository/index": "v2_repository_index",
    "get /v2/models/{model}": "v2_model_metadata",
    "get /v2/models/{model}/ready": "v2_model_ready",
    "post /v2/models/{model}/infer": "v2_infer",
    "get /v2/models/{model}/versions/{version}": "v2_model_version_metadata",
    "get /v2/models/{model}/versions/{version}/ready": "v2_model_version_ready",
    "post /v2/models/{model}/versions/{version}/infer": "v2_infer_version",
}


def name_operations(document: dict[str, Any]) -> None:
    """Give every operation its name, and make parameters of a path required strings.

    One function may serve a path with a version and one without. The framework then calls the version nullable, which
    no part of a path can be, and generators leave such operations out.
    """
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            operation["operationId"] = _IDS.get(f"{method} {path}", operation["operationId"])
            for parameter in operation.get("parameters", ()):
                kinds = [kind for kind in parameter["schema"].get("anyOf", ()) if kind != {"type": "null"}]
                if parameter["in"] == "path" and len(kinds) == 1:
                    parameter["schema"] = kinds[0] | {"title": parameter["schema"].get("title", parameter["name"])}

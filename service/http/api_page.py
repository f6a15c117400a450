"""The page at /docs: the OpenAPI document as HTML. It needs no script and nothing from another server."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any


def api_page(document: Mapping[str, Any], root: str) -> str:
    """Return the page. root: the path that the service lies under, without a slash at its end."""
    groups: dict[str, list[str]] = {}
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            group = (operation.get("tags") or ["other"])[0]
            groups.setdefault(group, []).append(_operation(document, root, method, path, operation))
    title = f"{document['info']['title']} {document['info']['version']}"
    contents = "".join(f"<section><h2>{escape(name)}</h2>{''.join(parts)}</section>" for name, parts in groups.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}: the API</title><link rel="icon" href="{escape(root)}/web/icon.svg">'
        f'<link rel="stylesheet" href="{escape(root)}/web/api.css"></head><body><main>'
        f"<h1>{escape(title)}</h1><p>{escape(document['info'].get('summary', ''))} "
        f'The <a href="{escape(root)}/openapi.json">OpenAPI document</a> has all of this for programs; '
        f'<a href="{escape(root)}/">the page</a> tries it out.</p>{contents}</main></body></html>'
    )


def _operation(document: Mapping[str, Any], root: str, method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [
        (
            f'<details id="{escape(operation["operationId"])}"><summary><b>{escape(method.upper())}</b> '
            f"<code>{escape(path)}</code> {escape(operation.get('summary', ''))}</summary>"
        )
    ]
    parts += [f"<p>{escape(text)}</p>" for text in operation.get("description", "").split("\n\n") if text.strip()]
    rows = [_parameter(document, parameter) for parameter in operation.get("parameters", ())]
    if rows:
        parts.append(_table(("parameter", "in", "type", "description"), rows))
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        parts.append(
            _table(
                ("request body", "type"),
                [(f"<code>{escape(m)}</code>", _kind(document, body[m].get("schema", {}))) for m in body],
            )
        )
    responses = [_response(status, response) for status, response in operation.get("responses", {}).items()]
    parts.append(_table(("status", "description", "media types"), responses))
    parts.append(f"<pre>{escape(_curl(root, method, path, operation))}</pre></details>")
    return "".join(parts)


def _parameter(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> tuple[str, ...]:
    required = " (required)" if parameter.get("required") and parameter["in"] != "path" else ""
    description = parameter.get("description") or parameter["schema"].get("description", "")
    kind = _kind(document, parameter["schema"])
    return f"<code>{escape(parameter['name'])}</code>{required}", escape(parameter["in"]), kind, escape(description)


def _response(status: str, response: Mapping[str, Any]) -> tuple[str, ...]:
    codes = [code for content in response.get("content", {}).values() for code in content.get("examples", ())]
    told = f" ({', '.join(codes)})" if codes else ""
    kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in response.get("content", {}))
    return escape(status), escape(response.get("description", "") + told), kinds


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return what a schema allows, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _kind(document, document["components"]["schemas"].get(name, {})) or escape(name)
    if choices := [kind for kind in schema.get("anyOf", schema.get("oneOf", ())) if kind != {"type": "null"}]:
        words = " or ".join(filter(None, (_kind(document, choice) for choice in choices)))
    else:
        words = " ".join(_words(schema))
    default = schema.get("default")
    return words if default is None else f"{words}; default <code>{escape(json.dumps(default))}</code>"


def _words(schema: Mapping[str, Any]) -> Iterator[str]:
    if "enum" in schema:
        yield " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
        return
    kind = schema.get("type", "")
    yield escape(" or ".join(kind) if isinstance(kind, list) else kind)
    if names := schema.get("properties"):
        yield "of " + ", ".join(f"<code>{escape(name)}</code>" for name in names)
    for key, word in (("minimum", "from"), ("maximum", "to"), ("exclusiveMinimum", "above"), ("format", "")):
        if key in schema:
            yield f"{word} {escape(str(schema[key]))}".strip()


def _curl(root: str, method: str, path: str, operation: Mapping[str, Any]) -> str:
    required = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query" and p.get("required")]
    query = "&".join(f"{name}={name.upper()}" for name in required)
    options = {"get": "", "post": "-X POST "}.get(method, f"-X {method.upper()} ")
    body = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in body:
        options = "-F image=@photo.jpg "
    elif "application/json" in body:
        options = "--json @body.json "
    return f"curl --fail-with-body {options}'http://localhost:8000{root}{path}{'?' if query else ''}{query}'"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

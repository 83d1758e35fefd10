"""The reference of the REST APIs, from the services' OpenAPI documents: routes, what they take, what they answer."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = """# REST

Made by `make docs` from the services' OpenAPI documents, which are in [openapi](openapi/gateway.json) and, of a service
that runs, at `/openapi.json`; `/docs` there tries them out. Refusals are problem documents (RFC 9457):
`application/problem+json` with `title`, `status`, `detail` and, where fields are wrong, `errors` with each `field` and
its `problem`. Where tokens are asked for ([security.md](security.md#api-tokens)) every route but the open ones may
answer 401, 403 and 429; *scope* is what the token needs.

Evaluator and releaser have only `/livez`, `/readyz` and `/metrics`, as every service does.
"""
_GUARDS = {"401", "403", "429"}
_METHODS = ("get", "post", "put", "patch", "delete")
Document = Mapping[str, Any]


def page(documents: Mapping[str, Document]) -> str:
    """The page of these documents, by service."""
    return "\n\n".join([_HEAD.rstrip(), *(_service(name, document) for name, document in documents.items())]) + "\n"


def _service(name: str, document: Document) -> str:
    routes = [(m, path, item[m]) for path, item in document["paths"].items() for m in _METHODS if m in item]
    rows = [f"| `{m.upper()} {path}` | {_scope(route)} | {route.get('summary', '')} |" for m, path, route in routes]
    head = f"## {name}\n\nThe document: [openapi/{name}.json](openapi/{name}.json)."
    table = "\n".join(["| route | scope | what it does |", "|---|---|---|", *rows])
    told = [_route(m, path, route, name) for m, path, route in routes if "operations" not in route.get("tags", ())]
    shapes = [_shape(shape, schema, name) for shape, schema in _shown(document)]
    return "\n\n".join([head, table, *told, *shapes])


def _route(method: str, path: str, route: Document, service: str) -> str:
    parts = [f"### {method.upper()} {path} ({service})", route.get("summary", "") + "."]
    if why := route.get("description"):
        parts.append(_text(why))
    if taken := route.get("parameters"):
        rows = [_parameter(parameter, service) for parameter in taken]
        parts.append("\n".join(["| parameter | in | type | what it is |", "|---|---|---|---|", *rows]))
    for media, content in route.get("requestBody", {}).get("content", {}).items():
        parts.append(f"Body (`{media}`): {_type(content.get('schema', {}), service)}.")
    parts.append("Answers: " + "; ".join(_answers(route, service)) + ".")
    return "\n\n".join(parts)


def _scope(route: Document) -> str:
    scopes = [scope for needed in route.get("security", ()) for scope in needed.get("token", ())]
    return ", ".join(f"`{scope}`" for scope in scopes) or "open"


def _answers(route: Document, service: str) -> Iterator[str]:
    for status, answer in sorted(route["responses"].items()):
        content = answer.get("content", {})
        media, shape = next(((m, c.get("schema", {})) for m, c in content.items()), ("", {}))
        if status.startswith("2"):
            yield f"**{status}** {_type(shape, service) if shape else media or answer['description']}"
        elif status not in _GUARDS:
            yield f"**{status}** {answer['description']}"


def _parameter(parameter: Document, service: str) -> str:
    name = f"`{parameter['name']}`" + (" (required)" if parameter.get("required") else "")
    shape = parameter.get("schema", {})
    default = f"default `{json.dumps(shape['default'])}`" if shape.get("default") is not None else ""
    text = _text(parameter.get("description") or shape.get("description") or "")
    told = "; ".join(part for part in (text, default) if part)
    return f"| {name} | {parameter['in']} | {_type(shape, service)} | {told} |"


def _shown(document: Document) -> Iterator[tuple[str, Document]]:
    """The shapes of bodies and answers, without those of FastAPI's own refusals."""
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        if name not in ("HTTPValidationError", "ValidationError"):
            yield name, schema


def _shape(name: str, schema: Document, service: str) -> str:
    parts = [f"#### {name} ({service})"]
    if text := schema.get("description"):
        parts.append(_text(text))
    needed = schema.get("required", ())
    rows = [
        f"| `{field}` | {_type(shape, service)} | {_left_out(field, shape, needed)} |"
        for field, shape in schema.get("properties", {}).items()
    ]
    if rows:
        parts.append("\n".join(["| field | type | where it is left out |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _left_out(field: str, shape: Document, needed: Any) -> str:
    return "" if field in needed or "default" not in shape else f"`{json.dumps(shape['default'])}`"


def _type(shape: Document, service: str) -> str:
    """A schema in words, its shapes with links."""
    if reference := shape.get("$ref"):
        name = str(reference).rpartition("/")[2]
        return f"[{name}](#{name.lower()}-{service})"
    if choices := shape.get("anyOf") or shape.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(one, service) for one in choices))
    if "enum" in shape:
        return " or ".join(f"`{json.dumps(value)}`" for value in shape["enum"])
    if "const" in shape:
        return f"`{json.dumps(shape['const'])}`"
    kind = shape.get("type")
    if kind == "array":
        return f"list of {_type(shape.get('items', {}), service)}"
    if kind == "object" and isinstance(shape.get("additionalProperties"), dict):
        return f"object of {_type(shape['additionalProperties'], service)}"
    return {"date-time": "time", "date": "date"}.get(shape.get("format", ""), str(kind or "anything"))


def _text(text: str) -> str:
    return text.replace("``", "`").replace("\n", " ").replace("|", "\\|")

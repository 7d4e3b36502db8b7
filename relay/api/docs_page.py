"""The OpenAPI schema as one HTML page without scripts, made here.

The usual viewers load megabytes of script from somebody else's network, which a server in a closed network cannot
reach and a page that people paste keys into should not.
"""

import html
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: light-dark(#1c2024, #e6e8ea); background: light-dark(#fff, #16181a); color-scheme: light dark }
h2 { margin-top: 2.5rem } details { border-top: 1px solid #8884; padding: .4rem 0 } summary { cursor: pointer }
code { font: 13px ui-monospace, monospace } b { display: inline-block; width: 4.5rem; font: 600 13px ui-monospace, monospace }
table { border-collapse: collapse; margin: .3rem 0 1rem } td, th { text-align: left; padding: .15rem 1.2rem .15rem 0; vertical-align: top }
small { opacity: .7 }
"""


def page(schema: dict[str, Any]) -> str:
    """The whole of `schema` as one page without scripts."""
    title = html.escape(schema["info"]["title"])
    sections: dict[str, list[str]] = {}
    for path, item in schema.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                sections.setdefault(tag, []).append(_operation(schema, path, method, item[method]))
    sections["types"] = [
        _type(schema, name, shape) for name, shape in sorted(schema["components"]["schemas"].items())
    ]
    body = "".join(f"<h2>{html.escape(tag)}</h2>{''.join(found)}" for tag, found in sections.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{title}</h1>'
        f"<p>{html.escape(schema['info'].get('description', ''))}</p>"
        f'<p>For programs: <a href="docs/openapi.json">openapi.json</a>. Send a key as '
        f"<code>Authorization: Bearer relay_…</code>.</p>{body}</html>"
    )


def _operation(schema: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [f"<p>{html.escape(operation.get('description', ''))}</p>"]
    rows = [
        _row(given["name"], given["schema"], required=given["required"], place=given["in"])
        for given in operation.get("parameters", [])
    ]
    parts.append(_table("Parameters", rows))
    parts.extend(_bodies(schema, "Body", operation.get("requestBody", {})))
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            parts.extend(_bodies(schema, f"Answer {status}", response))
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{html.escape(path)}</code> "
        f"<small>{html.escape(operation.get('summary', ''))}</small></summary>{''.join(parts)}</details>"
    )


def _type(schema: dict[str, Any], name: str, shape: dict[str, Any]) -> str:
    rows = _fields(schema, shape)
    content = (
        f"<table>{''.join(rows)}</table>" if rows else f"<p><code>{html.escape(_kind(shape))}</code></p>"
    )
    return f"<details><summary><code>{html.escape(name)}</code></summary>{content}</details>"


def _bodies(schema: dict[str, Any], title: str, holder: dict[str, Any]) -> list[str]:
    return [
        _table(f"{title} <small>{html.escape(media)}</small>", _fields(schema, content.get("schema", {})))
        for media, content in holder.get("content", {}).items()
    ]


def _fields(schema: dict[str, Any], shape: dict[str, Any]) -> list[str]:
    shape = _resolve(schema, shape)
    required = shape.get("required", [])
    return [
        _row(name, inner, required=name in required) for name, inner in shape.get("properties", {}).items()
    ]


def _resolve(schema: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    name = shape.get("$ref", "").rpartition("/")[2]
    if name:
        found: dict[str, Any] = schema["components"]["schemas"][name]
        return found
    # A body that may be left out is «this or null».
    choices = [inner for inner in shape.get("oneOf", []) if inner.get("type") != "null"]
    return _resolve(schema, choices[0]) if len(choices) == 1 else shape


def _row(name: str, shape: dict[str, Any], *, required: bool, place: str = "") -> str:
    note = shape.get("description", "")
    need = "required" if required else ""
    cells = (f"<code>{html.escape(name)}</code>", html.escape(_kind(shape)), need, place, html.escape(note))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _kind(shape: dict[str, Any]) -> str:
    """A type in a word or two."""
    if "$ref" in shape:
        return str(shape["$ref"]).rpartition("/")[2]
    for choice in ("oneOf", "anyOf"):
        if choice in shape:
            return " or ".join(dict.fromkeys(_kind(inner) for inner in shape[choice]))
    if "enum" in shape:
        return " | ".join(str(value) for value in shape["enum"])
    if shape.get("type") == "array":
        return f"list of {_kind(shape.get('items', {}))}"
    kind = shape.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(shape.get("format", kind))


def _table(title: str, rows: list[str]) -> str:
    return f"<h4>{title}</h4><table>{''.join(rows)}</table>" if rows else ""

"""The schema of rule files as JSON Schema (2020-12), for editors: they complete keys and mark mistakes while one writes.

It is made from the structs; what stands below a field there is its description. msgspec's own generator cannot write
our durations' defaults, and would not let a number stand where a text is read (`keyword: 42`).
"""

import ast
import inspect as source
from functools import singledispatch
from itertools import pairwise
from typing import Any

from msgspec import inspect

from relay.replies import schema

_DURATION = {
    "anyOf": [
        {"type": "string", "pattern": r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s?)?$"},
        {"type": "number", "minimum": 0},
    ],
    "description": "30s, 5m, 1h30m, 7d, or a number of seconds",
}
_BOUNDS = {
    "ge": "minimum",
    "le": "maximum",
    "min_length": "minLength",
    "max_length": "maxLength",
    "pattern": "pattern",
}


def make_schema() -> dict[str, Any]:
    """The whole; its parts stand under `$defs`."""
    top = inspect.type_info(schema.RuleSet)
    parts: dict[str, dict[str, Any]] = {}
    _collect(top, parts)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A rule set of Relay",
        "$ref": "#/$defs/RuleSet",
        "$defs": dict(sorted(parts.items())),
    }


def _collect(wanted: inspect.Type, parts: dict[str, dict[str, Any]]) -> None:
    """The structs within `wanted` into `parts`."""
    match wanted:
        case inspect.StructType(cls=cls, fields=fields):
            if cls.__name__ not in parts:
                parts[cls.__name__] = _struct(wanted)
                for field in fields:
                    _collect(field.type, parts)
        case inspect.UnionType(types=types):
            for one in types:
                _collect(one, parts)
        case inspect.ListType(item_type=inner) | inspect.DictType(value_type=inner):
            _collect(inner, parts)
        case _:
            pass


def _struct(wanted: inspect.StructType) -> dict[str, Any]:
    told = _field_docs(wanted.cls)
    properties = {}
    for field in wanted.fields:
        shape = _shape(field.type)
        if field.name in told:
            # A description beside a reference is for the one who refers.
            shape["description"] = told[field.name]
        default = field.default
        if isinstance(default, bool | int | float | str):
            shape["default"] = float(default) if isinstance(default, schema.Duration) else default
        properties[field.encode_name] = shape
    required = [field.encode_name for field in wanted.fields if field.required]
    about = {"description": " ".join(wanted.cls.__doc__.split())} if wanted.cls.__doc__ else {}
    return {
        "type": "object",
        **about,
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


@singledispatch
def _shape(wanted: inspect.Type) -> dict[str, Any]:
    raise TypeError(f"The schema uses {wanted}, which has no JSON Schema yet.")


@_shape.register
def _(_wanted: inspect.AnyType) -> dict[str, Any]:
    return {}


@_shape.register
def _(wanted: inspect.StrType) -> dict[str, Any]:
    bounds = _bounds(wanted)
    return {"type": "string" if "pattern" in bounds else ["string", "number", "boolean"], **bounds}


@_shape.register
def _(_wanted: inspect.BoolType) -> dict[str, Any]:
    return {"type": "boolean"}


@_shape.register
def _(wanted: inspect.IntType) -> dict[str, Any]:
    return {"type": "integer", **_bounds(wanted)}


@_shape.register
def _(wanted: inspect.FloatType) -> dict[str, Any]:
    return {"type": "number", **_bounds(wanted)}


@_shape.register
def _(wanted: inspect.LiteralType) -> dict[str, Any]:
    return {"enum": list(wanted.values)}


@_shape.register
def _(_wanted: inspect.CustomType) -> dict[str, Any]:
    return dict(_DURATION)


@_shape.register
def _(_wanted: inspect.DateTimeType) -> dict[str, Any]:
    return {"type": "string"}


@_shape.register
def _(wanted: inspect.ListType) -> dict[str, Any]:
    bounds = {name.replace("Length", "Items"): value for name, value in _bounds(wanted).items()}
    return {"type": "array", "items": _shape(wanted.item_type), **bounds}


@_shape.register
def _(wanted: inspect.DictType) -> dict[str, Any]:
    keys = _bounds(wanted.key_type)
    return {
        "type": "object",
        "additionalProperties": _shape(wanted.value_type),
        **({"propertyNames": keys} if keys else {}),
    }


@_shape.register
def _(wanted: inspect.StructType) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{wanted.cls.__name__}"}


@_shape.register
def _(wanted: inspect.UnionType) -> dict[str, Any]:
    shapes = [_shape(one) for one in wanted.types if not isinstance(one, inspect.NoneType)]
    return shapes[0] if len(shapes) == 1 else {"anyOf": shapes}


def _bounds(wanted: inspect.Type) -> dict[str, Any]:
    given = {theirs: getattr(wanted, ours, None) for ours, theirs in _BOUNDS.items()}
    return {name: value for name, value in given.items() if value is not None}


def _field_docs(cls: type) -> dict[str, str]:
    """What stands below the fields of a struct, and of those that it builds on."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__ != schema.__name__:
            continue
        tree = ast.parse(source.getsource(base))
        fields = [node for definition in tree.body for node in getattr(definition, "body", [])]
        for field, below in pairwise(fields):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
                case _:
                    pass
    return found

"""JSON in and out: camelCase structs, decoded strictly and once.

    class SessionIn(In, frozen=True, kw_only=True)      what a caller gives; an unknown field is refused
    class SessionPatch(In, frozen=True, kw_only=True)   every field `T | UnsetType = UNSET`: what is left out stays
    class SessionOut(Out, frozen=True, kw_only=True)    what we answer

Litestar would decode a body to dicts and then convert them leniently ("1" for 1). `JsonBody` is set for the whole
app instead: it decodes the bytes straight into the struct that the handler's `data: JSONBody[SessionIn]` names.
"""

from collections.abc import Generator
from typing import Any, ClassVar

import msgspec
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition
from msgspec import Struct

from relay.api.errors import from_msgspec
from relay.model.errors import InvalidInput


class In(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of what callers give."""


class Out(Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what we answer."""


def decode(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    """Decode a caller's JSON. Raises InvalidInput for everything that can be wrong with it."""
    try:
        decoded = decoder.decode(body)
    except msgspec.DecodeError as error:
        raise from_msgspec(error) from None
    except RecursionError:
        raise InvalidInput("The JSON is nested too deeply.", code="json_too_deep") from None
    except UnicodeDecodeError:
        raise InvalidInput("The body is not UTF-8.", code="json_malformed") from None
    # Postgres holds no NUL in text. An escaped backslash before u0000 is no NUL, so the quick look may be wrong.
    if b"\\u0000" in body and _holds_nul(msgspec.json.decode(body)):
        raise InvalidInput("The body holds a NUL character (\\u0000).", code="nul_character")
    return decoded


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(_holds_nul(inner) for inner in value)


class JsonBody(AbstractDTO[Any]):
    """Decodes a body into the handler's own struct; not a DTO in any other sense."""

    __slots__ = ()

    # By the type that a handler's `data` has; filled while routes are registered.
    _decoders: ClassVar[dict[Any, "msgspec.json.Decoder[Any]"]] = {}

    @classmethod
    def create_for_field_definition(
        cls,
        field_definition: FieldDefinition,
        handler_id: str,  # noqa: ARG003
        backend_cls: object = None,  # noqa: ARG003
    ) -> None:
        annotation = field_definition.annotation
        cls._decoders[annotation] = msgspec.json.Decoder(annotation)

    def decode_bytes(self, value: bytes) -> Any:
        field = self.asgi_connection.route_handler.parsed_data_field
        return decode(self._decoders[field.annotation], value)

    @classmethod
    def create_openapi_schema(
        cls,
        field_definition: FieldDefinition,
        handler_id: str,  # noqa: ARG003
        schema_creator: Any,
    ) -> Reference | Schema:
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:  # noqa: ARG003
        """Asked for by the protocol; nothing is generated."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:  # noqa: ARG003
        return False

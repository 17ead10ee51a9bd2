"""Messages: values as JSON that a schema checks, and arrays as their raw bytes beside it. Nothing is ever unpickled.

The schema of a value is its type: a frozen dataclass becomes an object whose fields are checked one by one and whose
``@type`` says which it is, an array becomes its dtype, shape and order with the number of the bytes that it travels
in, and everything else is what pydantic makes of it. So a record is described once, where it is defined.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError, create_model
from pydantic_core import CoreSchema, core_schema

from napari_unetseg import errors

KINDS_OF_VOXELS = "biuf"
TYPE = "@type"
STRICT = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
PARTS = "parts"
"""Key of a validation's context: the bytes that came beside the JSON."""


class MessageError(Exception):
    """What came is no message that one side may send to the other."""


class ErrorMessage(BaseModel):
    """A failure on its way.

    Parameters
    ----------
    kind : str
        A class of `errors`, ``fault`` for a fault of ours, or ``message`` where what was sent is no message.
    text : str
        One line, for people.
    details : str
        The traceback of a fault.
    """

    model_config = STRICT

    kind: str
    text: str
    details: str = ""


MENDABLE = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
"""Failures that a user can mend, by the name that they travel under."""


class ArrayMessage(BaseModel):
    """An array whose bytes are part number `part` of the message."""

    model_config = STRICT

    part: int = Field(ge=0)
    dtype: str
    shape: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=32)
    order: Literal["C", "F"]

    def array(self, parts: Sequence[memoryview]) -> npt.NDArray[Any]:
        """The array, over its bytes; raises `ValueError` where it and they do not agree."""
        try:
            dtype = np.dtype(self.dtype)
        except TypeError as error:
            raise ValueError(f"no dtype: {self.dtype!r}") from error
        if dtype.kind not in KINDS_OF_VOXELS or dtype.subdtype is not None:
            raise ValueError(f"expected whole or real numbers; got {self.dtype!r}")
        expected = math.prod(self.shape) * dtype.itemsize
        if self.part >= len(parts) or parts[self.part].nbytes != expected:
            raise ValueError(f"expected {expected} bytes in part {self.part}, for shape {self.shape} of {dtype}")
        return np.frombuffer(parts[self.part], dtype).reshape(self.shape, order=self.order)


def encode(value: Any) -> tuple[bytes, list[memoryview]]:
    """A value as JSON, and the memory of its arrays; C- and F-contiguous ones are not copied.

    Raises
    ------
    TypeError
        If something in it is no record, array or plain value.
    """
    parts: list[memoryview] = []
    return json.dumps(_plain(value, parts), ensure_ascii=False).encode(), parts


def _plain(value: Any, parts: list[memoryview]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        return _sent(value, parts)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        record = {f.name: _plain(getattr(value, f.name), parts) for f in dataclasses.fields(value) if f.init}
        return {TYPE: type(value).__name__, **record}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, parts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, parts) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.dtype):
        return value.str
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"A {type(value).__name__} cannot be sent: expected records, arrays and plain values.")


def _sent(array: npt.NDArray[Any], parts: list[memoryview]) -> dict[str, Any]:
    if array.dtype.kind not in KINDS_OF_VOXELS:
        raise TypeError(f"An array of {array.dtype} cannot be sent: expected whole or real numbers.")
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat = np.ascontiguousarray(array.T if order == "F" else array).reshape(-1)
    parts.append(memoryview(flat.view(np.uint8)))  # type: ignore[arg-type] # an array is a buffer
    return {"part": len(parts) - 1, "dtype": array.dtype.str, "shape": list(array.shape), "order": order}


def decode(schema: TypeAdapter[Any], body: memoryview, parts: Sequence[memoryview]) -> Any:
    """The value of a schema; arrays are writable and lie in `parts`.

    Raises
    ------
    MessageError
        If it is another one, or a record refuses its values. Says what is wrong first.
    """
    try:
        return schema.validate_json(bytes(body), context={PARTS: parts})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "message"
        raise MessageError(f"{where}: {first['msg']}") from None
    except MemoryError:
        raise
    except Exception as error:  # what a record that is made of such values raises
        raise MessageError(f"{type(error).__name__}: {error}") from error


@cache
def schema_of(value: Any) -> TypeAdapter[Any]:
    """What checks values of a type."""
    return TypeAdapter(as_message(value))


@cache
def request_model(function: Any, name: str) -> type[BaseModel]:
    """What checks the arguments of a function: a model with a field for each."""
    parameters = _hints(function)
    parameters.pop("return")
    return cast(type[BaseModel], create_model(name, __config__=STRICT, **_required(parameters)))


@cache
def as_message(value: Any) -> Any:
    """A type with arrays, dtypes and dataclasses replaced by what reads them from a message."""
    origin, arguments = get_origin(value), get_args(value)
    if np.ndarray in (value, origin):
        return Annotated[np.ndarray, _ArraySchema()]
    if np.dtype in (value, origin):
        return Annotated[np.dtype, _DtypeSchema()]
    if dataclasses.is_dataclass(value):
        return Annotated[value, _RecordSchema(cast(type, value))]
    if origin is Literal or not arguments:
        return value
    if origin is Annotated:
        return Annotated[as_message(arguments[0]), *value.__metadata__]
    replaced = tuple(each if each is Ellipsis else as_message(each) for each in arguments)
    if origin in (Union, types.UnionType):
        return Union[replaced]  # noqa: UP007 - of as many as there are
    return origin[replaced]


class _ArraySchema:
    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(message: ArrayMessage, info: core_schema.ValidationInfo) -> npt.NDArray[Any]:
            return message.array((info.context or {}).get(PARTS, ()))

        return core_schema.with_info_after_validator_function(read, handler.generate_schema(ArrayMessage))


class _DtypeSchema:
    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        pattern = rf"^[<>|=]?[{KINDS_OF_VOXELS}][0-9]+$"
        return core_schema.no_info_after_validator_function(np.dtype, core_schema.str_schema(pattern=pattern))


@dataclasses.dataclass(frozen=True)
class _RecordSchema:
    record: type

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        model = _record_model(self.record)
        names = [field.name for field in dataclasses.fields(self.record) if field.init]

        def make(message: BaseModel) -> Any:
            return self.record(**{name: getattr(message, name) for name in names})

        return core_schema.no_info_after_validator_function(make, handler.generate_schema(model))


@cache
def _record_model(record: type) -> type[BaseModel]:
    hints = _hints(record)
    fields = _required({field.name: hints[field.name] for field in dataclasses.fields(record) if field.init})
    kind: Any = (Literal[record.__name__], Field(alias=TYPE))
    return cast(type[BaseModel], create_model(record.__name__, __config__=STRICT, type__=kind, **fields))


def _required(hints: Mapping[str, Any]) -> dict[str, Any]:
    return {name: (as_message(hint), ...) for name, hint in hints.items()}


def _hints(thing: Any) -> dict[str, Any]:
    return get_type_hints(thing, include_extras=True)

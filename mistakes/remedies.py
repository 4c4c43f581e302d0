"""Saying of a mistake in a file what would be right.

msgspec names the place and what is wrong; what is allowed there it knows from the schema,
and here it is added to the sentence.
"""

import re
from difflib import get_close_matches
from typing import Final

import msgspec
from msgspec import inspect

_STEP: Final = re.compile(r"\.(\w+)|\[(?:\d+|\.\.\.)\]")
_MIXED_UP: Final = re.compile(r"Expected `(\w+)(?: \| null)?`.*, got `(\w+)`")
_QUOTES: Final = "; put it in quotes"
_NUMBER: Final = "; it is a number alone, without quotes or a unit"
_LIST: Final = "; it is a list: put it in brackets"
_REMEDIES: Final = {  # by what is expected, and what is there
    ("str", "int"): _QUOTES,
    ("str", "float"): _QUOTES,
    ("str", "bool"): _QUOTES,
    ("str", "array"): "; brackets make a list: leave them out, or put all in quotes",
    ("int", "str"): _NUMBER,
    ("float", "str"): _NUMBER,
    ("array", "str"): _LIST,
    ("array", "object"): _LIST,
}
_UNKNOWN: Final = re.compile(r"unknown field `(.*)`")


def explain(
    error: msgspec.ValidationError, schema: type[msgspec.Struct]
) -> tuple[str, str]:
    """Return the sentence of ``error``, which ``schema`` has raised, and its place.

    The sentence has a remedy, and the place is a path such as ``services[0].port``.
    """
    problem, _, place = str(error).partition(" - at ")
    path = place.strip("`")
    node = _walk(inspect.type_info(schema), path)
    return problem + _remedy(problem, node), path.removeprefix("$").removeprefix(".")


def _remedy(problem: str, node: inspect.Type | None) -> str:
    if unknown := _UNKNOWN.search(problem):
        return _keys(unknown[1], node)
    if "matching regex" in problem:
        return f": {description}" if (description := _description(node)) else ""
    keys = _first_key(node)
    if found := _MIXED_UP.search(problem):
        if found[1] == "object" and keys:
            return f"; it is {keys}"
        return _REMEDIES.get((found[1], found[2]), "")
    values = [value for one in _alternatives(node) for value in _values(one)]
    if problem.startswith("Invalid") and values:
        return f"; it is one of {', '.join(values)}{f', or {keys}' if keys else ''}"
    return ""


def _first_key(node: inspect.Type | None) -> str:
    """Return what a mapping looks like, by one of its keys; "" if there is none here."""
    for one in _alternatives(node):
        if isinstance(one, inspect.StructType) and one.fields:
            needed = [field for field in one.fields if field.required] or one.fields
            key = (one.tag and one.tag_field) or needed[0].encode_name
            return f"made of keys, such as `{key}:`"
    return ""


def _keys(unknown: str, node: inspect.Type | None) -> str:
    structs = [one for one in _alternatives(node) if isinstance(one, inspect.StructType)]
    owned = {one.tag: [field.encode_name for field in one.fields] for one in structs}
    if owners := [str(tag) for tag, keys in owned.items() if unknown in keys]:
        return f": it goes with type {', '.join(owners)}"
    keys = list(dict.fromkeys(key for keys in owned.values() for key in keys))
    if not keys:
        return ""
    if close := get_close_matches(unknown, keys, n=1):
        return f"; did you mean `{close[0]}`?"
    return f"; keys here are {', '.join(keys)}"


def _description(node: inspect.Type | None) -> str:
    """Return what a value is to be, as the schema has it; "" if that says nothing."""
    match node:
        case inspect.Metadata(extra_json_schema={"description": str(description)}):
            return description
        case inspect.Metadata(type=inner):
            return _description(inner)
        case inspect.UnionType(types=types):
            return next(filter(None, map(_description, types)), "")
        case _:
            return ""


def _alternatives(node: inspect.Type | None) -> tuple[inspect.Type, ...]:
    """Return the types that a value may have here."""
    match node:
        case None:
            return ()
        case inspect.Metadata(type=inner):
            return _alternatives(inner)
        case inspect.UnionType(types=types):
            return tuple(one for each in types for one in _alternatives(each))
        case _:
            return (node,)


def _values(node: inspect.Type) -> list[str]:
    match node:
        case inspect.EnumType(cls=enum):
            return [str(member.value) for member in enum]
        case inspect.LiteralType(values=values):
            return [str(value) for value in values]
        case _:
            return []


def _walk(node: inspect.Type | None, path: str) -> inspect.Type | None:
    """Return the type at a path such as ``$.services[0].mode``."""
    for step in _STEP.finditer(path):
        node = _member(node, step[1])
    return node


def _together(types: tuple[inspect.Type, ...]) -> inspect.Type | None:
    if len(types) > 1:
        return inspect.UnionType(types)
    return next(iter(types), None)


def _member(node: inspect.Type | None, name: str | None) -> inspect.Type | None:
    """Return the type of a struct's field, or of a sequence's items if ``name`` is None."""
    match node:
        case inspect.Metadata(type=inner):
            return _member(inner, name)
        case inspect.UnionType(types=types):
            members = tuple(filter(None, (_member(one, name) for one in types)))
            return _together(members)
        case inspect.StructType(tag_field=tag_field, tag=tag) if tag and tag_field == name:
            return inspect.LiteralType((tag,))
        case inspect.StructType(fields=fields):
            return next((field.type for field in fields if field.encode_name == name), None)
        case inspect.VarTupleType(item_type=item) if name is None:
            return item
        case _:
            return None

"""Every key of the configuration file, set to what it must not be: one sentence each.

The keys are those of the schema, so a new one is tried from its first day on.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import inspect

from control.config import FileConfig, parse
from control.errors import ConfigError

Path = tuple[str | int, ...]
# A file in which every struct of the schema stands somewhere.
WHOLE: dict[str, Any] = {
    "interfaces": ["eth0"],
    "services": [
        {
            "name": "web",
            "vip": "192.0.2.1",
            "port": 80,
            "mode": "nat",
            "backends": [{"address": "10.0.0.1"}],
            "check_defaults": {},
            "pool": {},
        }
    ],
    "api": {},
    "check_defaults": {},
    "email": {"server": "mx.example", "from": "a@example.org", "to": ["b@example.org"]},
    "limits": {},
    "metrics": {},
    "sync": {},
}
KINDS = {  # what each kind of check needs
    "tcp": {},
    "tls": {},
    "http": {},
    "https": {},
    "udp": {},
    "dns": {"name": "example.org"},
    "exec": {"command": ["/bin/true"]},
    "grpc": {},
    "icmp": {},
    "smtp": {},
    "file": {"path": "/run/x"},
}


def structs(node: inspect.Type, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Give each struct below ``node`` with a place where the whole file has it."""
    match node:
        case inspect.Metadata(type=inner):
            yield from structs(inner, path)
        case inspect.UnionType(types=types):
            for one in types:
                yield from structs(one, path)
        case inspect.VarTupleType(item_type=item):
            yield from structs(item, (*path, 0))
        case inspect.StructType(fields=fields):
            yield path, node
            for field in fields:
                if field.encode_name != "check":  # is as `checks`
                    yield from structs(field.type, (*path, field.encode_name))
        case _:
            return


def file_with(path: Path, struct: Any, key: str, value: object) -> str:
    """Return the whole file with ``key`` of the struct at ``path`` set to ``value``."""
    document = msgspec.to_builtins(WHOLE)
    here: Any = document
    for step in path:
        if isinstance(here, dict):
            kind = struct.tag or None
            check: Any = {"type": kind, **KINDS[kind]} if kind else {}
            here = here.setdefault(step, [check])
        else:
            here = here[step]
    here[key] = value
    return yaml.safe_dump(document)


def bounds(node: inspect.Type) -> Iterator[object]:
    """Give what is just outside of what a value may be."""
    match node:
        case inspect.Metadata(type=inner):
            yield from bounds(inner)
        case inspect.UnionType(types=types):
            for one in types:
                yield from bounds(one)
        case inspect.IntType(ge=least, le=most) | inspect.FloatType(ge=least, le=most):
            yield from () if least is None else (least - 1,)
            yield from () if most is None else (most + 1,)
            yield from (float("nan"), float("inf"), 10**30)
        case inspect.EnumType() | inspect.LiteralType():
            yield from ("", "bogus")
        case inspect.StrType(max_length=most) if most is not None:
            yield "x" * (most + 1)
        case _:
            return


def wrong_type(node: inspect.Type) -> object:
    """Return what no key takes: a list of numbers within a mapping."""
    return [{"x": 1}] if isinstance(node, inspect.DictType) else {"x": [1]}


PLACES = [
    pytest.param(path, struct, id=".".join(map(str, path)) + f":{struct.cls.__name__}")
    for path, struct in structs(inspect.type_info(FileConfig))
]
FIELDS = [
    pytest.param(
        path,
        struct,
        field,
        id=".".join(map(str, (*path, field.encode_name))) + f":{struct.cls.__name__}",
    )
    for path, struct in structs(inspect.type_info(FileConfig))
    for field in struct.fields
]


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "c.yaml")
    said = str(caught.value)
    assert said.startswith("c.yaml")
    assert "\n" not in said
    return said


def test_the_whole_file_is_right() -> None:
    assert parse(yaml.safe_dump(WHOLE), "c.yaml")
    for kind, needed in KINDS.items():
        check = {"type": kind, **needed}
        service = {**WHOLE["services"][0], "checks": [check]}
        assert parse(yaml.safe_dump({**WHOLE, "services": [service]}), "c.yaml")


@pytest.mark.parametrize(("path", "struct"), PLACES)
def test_an_unknown_key_is_refused_with_the_one_that_is_like_it(
    path: Path, struct: Any
) -> None:
    key = max((field.encode_name for field in struct.fields), key=len)

    said = refusal(file_with(path, struct, f"{key}x", 1))

    assert f"unknown field `{key}x`; did you mean `{key}`?" in said


@pytest.mark.parametrize(("path", "struct", "field"), FIELDS)
def test_a_value_of_another_type_is_refused_with_its_place(
    path: Path, struct: Any, field: Any
) -> None:
    said = refusal(file_with(path, struct, field.encode_name, wrong_type(field.type)))

    assert field.encode_name in said


@pytest.mark.parametrize(("path", "struct", "field"), FIELDS)
def test_a_value_out_of_its_range_is_refused_with_its_place(
    path: Path, struct: Any, field: Any
) -> None:
    for value in bounds(field.type):
        said = refusal(file_with(path, struct, field.encode_name, value))

        assert field.encode_name in said, value


@pytest.mark.parametrize(("path", "struct", "field"), FIELDS)
def test_a_key_that_stands_twice_is_refused_everywhere(
    path: Path, struct: Any, field: Any
) -> None:
    key = field.encode_name
    once = yaml.safe_load(file_with(path, struct, key, "@@"))
    text = yaml.safe_dump(once, default_flow_style=True, width=10**6)

    said = refusal(text.replace(f"{key}: '@@'", f"{key}: 1, {key}: 2"))

    assert f"'{key}' stands here twice" in said

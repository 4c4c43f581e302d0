"""What was compiled before is loaded without a compiler, and is the same program."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataplane import libbpf
from dataplane.abi import MAPS
from dataplane.bytecode import Bytecode
from dataplane.cache import Cache
from dataplane.errors import LoadError
from dataplane.instance import Instance, open_instance, remove_instance
from dataplane.libbpf import MapShape
from dataplane.source import Limits, source

LIMITS = Limits(services=8, backends=16, slots=8192, records=2048)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, bpffs: Path) -> Path:
    """Return a directory with the program in it."""
    directory = tmp_path_factory.mktemp("cache")
    with opened(bpffs, directory):
        pass
    return directory


@contextmanager
def opened(bpffs: Path, cache: Path | None, limits: Limits = LIMITS) -> Iterator[Instance]:
    root = bpffs / "guideway" / "cached"
    instance = open_instance(root, limits, cache)
    try:
        yield instance
    finally:
        instance.discard()
        instance.close()
        remove_instance(root)


@pytest.fixture
def _no_bcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bcc.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def described(instance: Instance) -> tuple[object, ...]:
    """Return all that could make one loaded program differ from another."""
    program = libbpf.program_info(instance.program)
    same = (program.name, program.kind, program.instructions, program.machine_code)
    maps = {name: libbpf.map_shape(instance.maps.fd(name)) for name in MAPS}
    names = {name: libbpf.map_name(instance.maps.fd(name)) for name in MAPS}
    return (*same, maps, names)


def test_a_program_from_the_cache_is_the_one_that_bcc_makes(
    bpffs: Path, cache: Path
) -> None:
    with opened(bpffs, None) as compiled:
        wanted = described(compiled)

    with opened(bpffs, cache) as cached:
        assert described(cached) == wanted


@pytest.mark.usefixtures("_no_bcc")
def test_it_needs_no_compiler(bpffs: Path, cache: Path) -> None:
    with opened(bpffs, cache):
        pass

    with pytest.raises(LoadError, match="BCC is missing"), opened(bpffs, None):
        pass


@pytest.mark.usefixtures("_no_bcc")
def test_other_limits_are_another_program(bpffs: Path, cache: Path) -> None:
    other = Limits(services=9, backends=16, slots=8192, records=2048)

    with pytest.raises(LoadError, match="BCC is missing"), opened(bpffs, cache, other):
        pass


def test_maps_that_the_kernel_does_not_make_are_named(bpffs: Path, tmp_path: Path) -> None:
    too_large = MapShape(libbpf.MAP_HASH, 4, 1 << 30, 1, 0)
    Cache(tmp_path).store(source(LIMITS), Bytecode(b"", (("gates", too_large),)))

    with (
        pytest.raises(LoadError, match=r"does not make the map gates: .*; lower `limits`"),
        opened(bpffs, tmp_path),
    ):
        pass


def test_what_the_verifier_refuses_is_told_with_its_last_words(
    bpffs: Path, tmp_path: Path
) -> None:
    Cache(tmp_path).store(source(LIMITS), Bytecode(b"\x95" + bytes(7), ()))

    with (
        pytest.raises(
            LoadError, match=r"the kernel refuses the program: .*: .*R0 !read_ok"
        ),
        opened(bpffs, tmp_path),
    ):
        pass

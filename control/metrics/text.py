"""Prometheus's text format 0.0.4, written line by line.

prometheus-client makes two objects for each sample: for 16,384 backends that takes half a
second, and the garbage collector, which comes for them, holds everybody up for a tenth.
Strings it leaves alone.
"""

from collections.abc import Iterable, Mapping
from typing import Final

Samples = Iterable[tuple[str, float]]  # labels, by :func:`labels`, and the value
# Labels; how many there are up to each bound, the last one "+Inf"; and their sum.
Histograms = Iterable[tuple[Mapping[str, str], Mapping[str, int], float]]

_PREFIX: Final = "guideway_"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def gauge(name: str, meaning: str, samples: Samples) -> str:
    """Return a metric that goes up and down; the name gets its prefix."""
    return _family(_PREFIX + name, "gauge", meaning, samples)


def counter(name: str, meaning: str, samples: Samples) -> str:
    """Return a metric that only grows; the name gets its prefix and its ending."""
    return _family(f"{_PREFIX}{name}_total", "counter", meaning, samples)


def histogram(name: str, meaning: str, samples: Histograms) -> str:
    """Return a metric of how many were at most so much; the name gets its prefix."""
    name = _PREFIX + name
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} histogram"]
    for values, counts, total in samples:
        lines += [f"{name}_bucket{labels(**values, le=e)} {n}" for e, n in counts.items()]
        lines.append(f"{name}_sum{labels(**values)} {total}")
        lines.append(f"{name}_count{labels(**values)} {max(counts.values())}")
    return "\n".join(lines) + "\n"


def one(value: float) -> Samples:
    """Return the sample of a metric without labels."""
    return (("", value),)


def labels(**values: str) -> str:
    """Return labels as they stand behind a metric's name."""
    pairs = (f'{name}="{value.translate(_ESCAPES)}"' for name, value in values.items())
    return f"{{{','.join(pairs)}}}"


def _family(name: str, kind: str, meaning: str, samples: Samples) -> str:
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{labels} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"

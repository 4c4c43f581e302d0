"""What a figure belongs to: the processor and the kernel."""

import platform
from pathlib import Path


def describe() -> str:
    """Return the processor, as it names itself, and the kernel's version."""
    return f"{processor()}; Linux {platform.release()}"


def processor() -> str:
    """Return how the processor names itself."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    fields = (line.partition(":") for line in lines)
    models = (value.strip() for name, _, value in fields if name.strip() == "model name")
    return next(models, platform.machine())

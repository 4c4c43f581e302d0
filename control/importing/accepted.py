"""Whether the daemons accept what comes out of an import: they are asked."""

from collections.abc import Mapping
from typing import Any

from control import config
from control.capacity import check_capacity
from control.errors import GuidewayError
from control.importing.plain import written
from vrrp import config as vrrp_config
from vrrp.errors import ConfigError as VrrpConfigError


def accepted(program: str, file: Mapping[str, Any], heading: str) -> str:
    """Return a file as text; ValueError with a sentence if ``program`` would refuse it."""
    text = written(file, heading)
    try:
        if program == "guidewayd":
            node, desired = config.parse(text, "guideway.yaml")
            check_capacity(desired, node.limits)
        else:
            vrrp_config.parse(text, "vrrp.yaml")
    except (GuidewayError, VrrpConfigError) as error:
        raise ValueError(str(error)) from error
    return text

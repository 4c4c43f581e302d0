"""Nodes of a lab that follow each other, with certificates of one CA."""

from typing import Any

import trustme

from tests.support.daemon import edit
from vagrant.lab.lab import Lab

PORT = 7007
ORGANIZATION = "nodes"


def follow_each_other(lab: Lab) -> None:
    """Let each node follow the other; before they are started."""
    ca = trustme.CA()
    ca_file = lab.directory / "nodes-ca.pem"
    ca.cert_pem.write_to_path(ca_file)
    addresses = {
        name: str(lab.topology.balancer_addresses(name)["eth0"]) for name in lab.nodes
    }
    for name, node in lab.nodes.items():
        made = ca.issue_cert(
            addresses[name], common_name=name, organization_name=ORGANIZATION
        )
        key, certificate = (node.paths.directory / f"node.{end}" for end in ("key", "pem"))
        key.touch(mode=0o600)
        made.private_key_pem.write_to_path(key)
        made.cert_chain_pems[0].write_to_path(certificate)
        others = [address for other, address in addresses.items() if other != name]

        def change(content: dict[str, Any], name: str = name) -> None:
            content["api"] |= {
                "listen": f"{addresses[name]}:{PORT}",
                "certificate": str(certificate),  # noqa: B023 - called at once
                "key": str(key),  # noqa: B023
                "client_ca": str(ca_file),
                "peer": [f"O={ORGANIZATION}"],
            }
            content["peers"] = [{"address": f"{each}:{PORT}"} for each in others]  # noqa: B023

        edit(node, change)

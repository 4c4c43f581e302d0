"""What the machines' root file system is made of, and by what it is known again. No I/O.

Debian's packages and the wheels are in it, so that a machine without a network is
provisioned by the same scripts that have one on an operator's host.
"""

import hashlib
import re
import tomllib
from dataclasses import dataclass

SUITE = "bookworm"
WHEELS = "/srv/wheels"
CHECKOUT = "/srv/guideway"
# Beyond what our own scripts install: what a server of Debian's has anyway.
SERVER = (
    "dbus",
    "kmod",
    "linux-image-cloud-amd64",  # the stock kernel, with the drivers of virtual machines
    "make",
    "openssh-server",
    "procps",
    "systemd-sysv",
    "udev",
)
# Run inside the root file system; $1: packages that are downloaded, and not installed. The
# tests' environment is made here, where it takes a minute; the checkout itself comes later.
# Where pip looks on the host that makes it (PIP_FIND_LINKS, say) there is nothing in here.
FINISH = f"""
for name in $(env | sed -n 's/^\\(PIP_[A-Z_]*\\)=.*/\\1/p'); do unset "$name"; done
mkdir -p /srv/packages
cd /srv/packages
chown _apt .
apt-get update -qq
apt-get download -qq $1
for package in *.deb; do
    dpkg-deb --field "$package"
    printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' "$package" \\
        "$(stat -c %s "$package")" "$(sha256sum "$package" | cut -d ' ' -f 1)"
done > Packages
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*
echo 'deb [trusted=yes] file:/srv/packages ./' > /etc/apt/sources.list
apt-get update -qq
printf '[global]\\nno-index = true\\nfind-links = {WHEELS}\\n' > /etc/pip.conf
printf '[Match]\\nName=eth0\\n[Network]\\nAddress=10.0.2.15/24\\n' \\
    > /etc/systemd/network/eth0.network
systemctl --quiet enable systemd-networkd
printf '127.0.0.1 localhost\\n' > /etc/hosts
: > /etc/fstab
systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \\
    e2scrub_all.timer e2scrub_reap.service fstrim.timer
{CHECKOUT}/deploy/setup dev,lab
cd {CHECKOUT}
find . -path ./.venv -prune -o -type f ! -name 'native*.so' ! -path '*.egg-info/*' \\
    -exec rm {{}} +
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Names of packages, and requirements for pip as it takes them."""

    packages: tuple[str, ...]  # installed
    archives: tuple[str, ...]  # at hand, for scripts that unpack them
    wheels: tuple[str, ...]  # at hand, with what they require
    constraints: str  # the file that says which versions
    environment: str  # a digest of the files that deploy/setup makes one of

    def key(self) -> str:
        """Return what another recipe does not have."""
        return hashlib.sha256(repr((self, SUITE, FINISH)).encode()).hexdigest()[:16]


def recipe(setup: str, control: str, pyproject: str, constraints: str) -> Recipe:
    """Return what deploy/setup, the package's control file and pyproject.toml ask for.

    One environment is as good for another pyproject.toml, but deploy/setup cannot know that
    and makes it anew; emulated, that takes longer than all the rest of an image.
    """
    project = tomllib.loads(pyproject)
    about = project["project"]
    wheels = [*project["build-system"]["requires"], *about["dependencies"]]
    for extra in about["optional-dependencies"].values():
        wheels += extra
    return Recipe(
        packages=tuple(sorted({*SERVER, *_installed(setup), *_depended_on(control)})),
        archives=tuple(_assigned(setup, "servers")),
        wheels=tuple(sorted(set(wheels))),
        constraints=constraints,
        environment=hashlib.sha256((setup + pyproject).encode()).hexdigest(),
    )


def _installed(setup: str) -> list[str]:
    return [name for name in _assigned(setup, "packages") if name != "$packages"]


def _assigned(setup: str, variable: str) -> list[str]:
    """Return the words that the script gives the variable, wherever it does."""
    return " ".join(re.findall(rf'\b{variable}="([^"]*)"', setup)).split()


def _depended_on(control: str) -> list[str]:
    fields = re.findall(
        r"^(?:Pre-Depends|Depends|Recommends): (.*)$", control, re.MULTILINE
    )
    return [each.split()[0] for each in ", ".join(fields).split(", ")]

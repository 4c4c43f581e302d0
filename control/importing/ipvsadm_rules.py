"""The rules that ``ipvsadm-save -n`` prints, one on a line."""

import shlex
from dataclasses import dataclass
from typing import Final

from control.importing.notes import Place, RefusedError

_OPTIONS: Final = {  # with a value
    "-t": "tcp",
    "--tcp-service": "tcp",
    "-u": "udp",
    "--udp-service": "udp",
    "-f": "mark",
    "--fwmark-service": "mark",
    "--sctp-service": "sctp",
    "-s": "scheduler",
    "--scheduler": "scheduler",
    "-p": "persistent",
    "--persistent": "persistent",
    "-r": "server",
    "--real-server": "server",
    "-w": "weight",
    "--weight": "weight",
    "-M": "netmask",
    "--netmask": "netmask",
    "-b": "flags",
    "--sched-flags": "flags",
    "-x": "upper",
    "--u-threshold": "upper",
    "-y": "lower",
    "--l-threshold": "lower",
    "--pe": "engine",
}
_SWITCHES: Final = {
    "-g": "dr",
    "--gatewaying": "dr",
    "-m": "nat",
    "--masquerading": "nat",
    "-i": "tunnel",
    "--ipip": "tunnel",
    "-o": "ops",
    "--ops": "ops",
    "-6": "six",
    "--ipv6": "six",
    "-n": "numeric",
    "--numeric": "numeric",
}
_ADDING: Final = {"-A": "service", "--add-service": "service"} | {
    "-a": "server",
    "--add-server": "server",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A service that is added, or a server of one."""

    place: Place
    adds_service: bool
    protocol: str  # "tcp", "udp", "sctp" or "mark"
    options: dict[str, str]  # by what they mean

    @property
    def where(self) -> str:
        """The service, as the rule names it."""
        return f"{self.protocol} {self.options[self.protocol]}"


def rule_of(place: Place, line: str) -> Rule | None:
    """Return the rule on a line, None on an empty one; raise RefusedError."""
    words = _words(place, line)
    if words[:1] == ["ipvsadm"]:
        words = words[1:]
    if not words:
        return None
    what = _ADDING.get(words[0])
    if what is None:
        raise RefusedError(
            place, "is no rule as `ipvsadm-save -n` prints them: -A … or -a …"
        )
    options = _options(place, words[1:])
    protocol = next((one for one in ("tcp", "udp", "sctp", "mark") if one in options), None)
    if protocol is None:
        raise RefusedError(place, "names no service: -t, -u or -f")
    return Rule(place, what == "service", protocol, options)


def _words(place: Place, line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        raise RefusedError(place, "a quote is not closed") from None


def _options(place: Place, words: list[str]) -> dict[str, str]:
    """Return options by what they mean; raise RefusedError for others."""
    options: dict[str, str] = {}
    left = list(reversed(words))
    while left:
        word = left.pop()
        if word in _SWITCHES:
            options[_SWITCHES[word]] = ""
        elif word in _OPTIONS:
            # -p may go without a time.
            alone = not left or (_OPTIONS[word] == "persistent" and not left[-1].isdigit())
            if alone and _OPTIONS[word] != "persistent":
                raise RefusedError(place, f"{word} has no value")
            options[_OPTIONS[word]] = "" if alone else left.pop()
        else:
            raise RefusedError(
                place, f"{word!r} is no option that `ipvsadm-save -n` prints"
            )
    return options

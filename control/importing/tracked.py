"""What keepalived's VRRP instances track, as checks of guideway-vrrpd."""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from control.importing.body import Body
from control.importing.notes import Notes
from control.importing.statements import Statement
from vrrp.schema import AnyCheck

_SENTENCES: Final[Mapping[str, str]] = {
    "init_fail": "its first result decides; until then its instances rest; left out",
    "init_file": "no file counts as 0; left out",
    "weight": "is said where it is tracked",
    "param_match": "processes are known by name alone; left out",
    "full_command": "processes are known by name alone; left out",
    "quorum_max": "there is no upper bound; left out",
    "terminate_delay": "there is no such delay; left out",
    "fork_delay": "there is no such delay; left out",
    "delay": "there is no such delay; left out",
}
_RUNNING: Final = re.compile(
    r"(?:(?:/usr)?/bin/|/usr/sbin/)?(?:killall\s+-0|pidof|pgrep\s+-x)\s+([\w.+-]+)"
)
_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]")
_MOST_WEIGHT: Final = 253
_LONGEST_NAME: Final = 64
TRACKS: Final = {  # keyword in an instance: prefix of the check's name
    "track_interface": "interface-",
    "track_script": "",
    "track_file": "file-",
    "track_process": "process-",
}


def plain_name(text: str) -> str:
    """Return a name of guideway-vrrpd for one of keepalived."""
    return _NAME.sub("_", text)[:_LONGEST_NAME] or "_"


@dataclass(slots=True)
class Checks:
    """The checks that there are, and those that somebody tracks."""

    notes: Notes
    user: str | None = None  # that scripts run as, unless they say so
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)
    _weights: dict[str, int] = field(default_factory=dict)
    tracked: dict[str, dict[str, Any]] = field(default_factory=dict)

    def script(self, block: Statement) -> None:
        """Take a vrrp_script."""
        body = Body(block, self.notes)
        script = body.last("script")
        check: dict[str, Any] = {"type": "script"}
        for key, least, most in (("interval", 0.05, 3600), ("timeout", 0.05, 3600)):
            if (seconds := body.number(key, least=least, most=most)) is not None:
                check[key] = seconds
        for key in ("rise", "fall"):
            if (count := body.whole(key, least=1, most=1000)) is not None:
                check[key] = count
        user = body.last("user")
        if user and len(user.arguments) > 1:
            body.note(user, "the group is that of the user")
        if script is None:
            self.notes.add(block.place, block.keyword, "has no script; left out")
            return
        name = user.arguments[0] if user and user.arguments else self.user
        check |= self._command(script, check, name)
        self._keep(body, "", check)

    def file(self, block: Statement) -> None:
        """Take a track_file."""
        body = Body(block, self.notes)
        path = body.word("file")
        if path is None or not path.startswith("/"):
            why = "a file has to be named by its absolute path; left out"
            self.notes.add(block.place, block.keyword, why)
            return
        self._keep(body, TRACKS["track_file"], {"type": "file", "path": path}, weight=1)

    def process(self, block: Statement) -> None:
        """Take a vrrp_track_process."""
        body = Body(block, self.notes)
        process = body.last("process")
        if process is None or not process.arguments:
            self.notes.add(block.place, block.keyword, "has no process; left out")
            return
        if len(process.arguments) > 1:
            body.note(process, "processes are known by name alone")
        check = {"type": "process", "process": process.arguments[0].rpartition("/")[2]}
        quorum = body.whole("quorum", least=1, most=100_000)
        more = {} if quorum is None else {"quorum": quorum}
        self._keep(body, TRACKS["track_process"], check | more)

    def tracks(self, blocks: Iterable[Statement], *, weighted: bool) -> dict[str, int]:
        """Return what track blocks name, with weights: all 0 if not ``weighted``."""
        found: dict[str, int] = {}
        for block in blocks:
            for one in block.body or ():
                name = plain_name(TRACKS[block.keyword] + one.keyword)
                if block.keyword == "track_interface" and name not in self._known:
                    look = {"type": "interface", "interface": one.keyword}
                    self._add(name, look, one)
                if name not in self._known:
                    self.notes.add(one.place, one.keyword, "is not defined; left out")
                    continue
                weight = self._weight(one, self._weights.get(name, 0))
                if weight is not None:
                    found[name] = weight if weighted else 0
                    self.tracked[name] = self._known[name]
        return found

    def _weight(self, track: Statement, usual: int) -> int | None:
        """Return the weight by which something is tracked; None if it cannot be."""
        words = track.arguments
        if "reverse" in words:
            why = "what fails cannot count as good; it is not tracked"
            self.notes.add(track.place, track.keyword, why)
            return None
        if "weight" not in words[:-1]:
            return usual
        text = words[words.index("weight") + 1]
        try:
            weight = int(text)
        except ValueError:
            self.notes.add(track.place, track.keyword, f"{text!r} is no weight; left out")
            return usual
        return self._bounded(track, weight)

    def _bounded(self, statement: Statement, weight: int) -> int:
        kept = max(-_MOST_WEIGHT, min(weight, _MOST_WEIGHT))
        if kept != weight:
            why = f"weights are in -{_MOST_WEIGHT}…{_MOST_WEIGHT}: {kept} is taken"
            self.notes.add(statement.place, statement.keyword, why)
        return kept

    def _keep(
        self, body: Body, prefix: str, check: dict[str, Any], weight: int = 0
    ) -> None:
        name = plain_name(prefix + (body.block.arguments or ("_",))[0])
        if name in self._known:
            why = "its name is taken; left out"
            self.notes.add(body.block.place, body.block.keyword, why)
            return
        self._add(name, check, body.block)
        said = body.last("weight")
        self._weights[name] = weight
        if said and (given := self._weight(_as_track(said), weight)) is not None:
            self._weights[name] = given
        body.rest(_SENTENCES)

    def _add(self, name: str, check: dict[str, Any], statement: Statement) -> None:
        try:
            msgspec.convert({"name": name, **check}, AnyCheck)
        except msgspec.ValidationError as error:
            why = f"{error}; left out"
            self.notes.add(statement.place, statement.keyword, why)
            return
        self._known[name] = check

    def _command(
        self, script: Statement, check: dict[str, Any], user: str | None
    ) -> dict[str, Any]:
        """Return what a script becomes: a command, or a look at processes."""
        text = " ".join(script.arguments)
        if found := _RUNNING.fullmatch(text.strip()):
            check.pop("timeout", None)
            return {"type": "process", "process": found[1]}
        who = {} if user is None else {"user": user}
        try:
            words = shlex.split(text)
        except ValueError:
            words = []
        if words and words[0].startswith("/"):
            return {"command": words, **who}
        self.notes.add(script.place, script.keyword, "is run by /bin/sh")
        return {"command": ["/bin/sh", "-c", text], **who}


def _as_track(weight: Statement) -> Statement:
    """Return ``weight 5 reverse`` as it stands behind what is tracked."""
    words = (weight.keyword, *weight.arguments)
    return Statement(weight.place, weight.keyword, words)

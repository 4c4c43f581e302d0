"""Asking other hosts by frames of our own, and listening. Needs CAP_NET_RAW."""

import select
import socket
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from control.doctor.answers import Advert, Answer, read, read_advert
from control.doctor.frames import Key, Question

_EVERYTHING: Final = 0x0003  # ETH_P_ALL
_LARGEST: Final = 65535
# linux/if_packet.h: the kernel takes a VLAN's tag out of the frame, and tells of it beside.
_OF_PACKET: Final = 263  # SOL_PACKET
_AUXDATA: Final = 8  # PACKET_AUXDATA
_TAG_IS_VALID: Final = 1 << 4  # TP_STATUS_VLAN_VALID, in the first word
_FACTS_SPACE: Final = socket.CMSG_SPACE(20)  # struct tpacket_auxdata
_TRIES: Final = 2
_BURST: Final = 16  # questions before we listen: answers have little room to wait
_PAUSE: Final = 0.001  # seconds for that, and while the card has no room for more


@dataclass(frozen=True, slots=True)
class Heard:
    """What others have said."""

    answers: Mapping[Key, tuple[Answer, ...]]
    adverts: frozenset[tuple[str, Advert]]  # each with the interface that it came in by


def ask(
    questions: Sequence[Question], seconds: float, listened: Collection[str] = ()
) -> Heard:
    """Return the answers of all who give one, after ``seconds`` at least.

    What nobody has answered by then is asked once more, for as long again; but for what
    neighbours say of addresses, where silence is what one hopes for. Where there are
    interfaces to be ``listened`` to, all of that time is taken. OSError.
    """
    interfaces = {*listened, *(question.interface for question in questions)}
    with ExitStack() as opened:
        sockets = {name: opened.enter_context(_open(name)) for name in interfaces}
        ears = _Ears(sockets, (question.key for question in questions))
        open_questions = questions
        for _ in range(_TRIES):
            deadline = time.monotonic() + seconds
            ears.ask(open_questions, deadline)
            ears.listen(deadline)
            open_questions = [
                question
                for question in questions
                if question.key.kind != "neighbour" and not ears.answers[question.key]
            ]
            if not open_questions and not listened:
                break
        answers = {key: tuple(each) for key, each in ears.answers.items()}
        return Heard(answers, frozenset(ears.adverts))


def send(interface: str, frames: Iterable[bytes]) -> None:
    """Send frames that nobody has to answer. OSError."""
    with _open(interface) as out:
        for frame in frames:
            out.send(frame)


class _Ears:
    """Sockets on interfaces, and what has come in by them."""

    def __init__(self, sockets: Mapping[str, socket.socket], keys: Iterable[Key]) -> None:
        self.answers: dict[Key, set[Answer]] = {key: set() for key in keys}
        self.adverts = set[tuple[str, Advert]]()
        self._sockets = sockets

    def ask(self, questions: Iterable[Question], deadline: float) -> None:
        """Send the questions; answers are heard meanwhile."""
        for number, question in enumerate(questions, 1):
            while True:
                try:
                    self._sockets[question.interface].send(question.frame)
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise
                    self.listen(time.monotonic() + _PAUSE)
                else:
                    break
            if number % _BURST == 0:
                self.listen(time.monotonic() + _PAUSE)

    def listen(self, deadline: float) -> None:
        """Hear what comes in before ``deadline``."""
        every = list(self._sockets.values())
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(every, (), (), left)
            for one in ready:
                self._hear(one)

    def _hear(self, one: socket.socket) -> None:
        frame, facts, _, (interface, _, kind, *_) = one.recvmsg(_LARGEST, _FACTS_SPACE)
        if kind == socket.PACKET_OUTGOING or _is_tagged(facts):
            return
        answer = read(frame)
        if answer is not None and answer.key in self.answers:
            self.answers[answer.key].add(answer)
        advert = read_advert(frame)
        if advert is not None:
            self.adverts.add((interface, advert))


def _is_tagged(facts: Iterable[tuple[int, int, bytes]]) -> bool:
    """Tell whether a frame is of a VLAN, which has an interface of its own."""
    return any(
        (level, kind) == (_OF_PACKET, _AUXDATA)
        and int.from_bytes(data[:4], sys.byteorder) & _TAG_IS_VALID
        for level, kind, data in facts
    )


def _open(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        opened.setsockopt(_OF_PACKET, _AUXDATA, 1)
        opened.bind((interface, _EVERYTHING))
        opened.setblocking(False)  # noqa: FBT003
    except OSError:
        opened.close()
        raise
    return opened

"""Asking other hosts by frames of our own. Needs CAP_NET_RAW."""

import select
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from control.doctor.frames import Answer, Key, Question, read

_EVERYTHING: Final = 0x0003  # ETH_P_ALL
_LARGEST: Final = 65535
_TRIES: Final = 2


def ask(questions: Sequence[Question], seconds: float) -> Mapping[Key, tuple[Answer, ...]]:
    """Return the answers of all who give one, after ``seconds`` at least.

    What nobody has answered by then is asked once more, for as long again; but for what
    neighbours say of addresses, where silence is what one hopes for. OSError.
    """
    heard: dict[Key, set[Answer]] = {question.key: set() for question in questions}
    with ExitStack() as opened:
        sockets = {
            name: opened.enter_context(_open(name))
            for name in {question.interface for question in questions}
        }
        open_questions = list(questions)
        for _ in range(_TRIES):
            for question in open_questions:
                sockets[question.interface].send(question.frame)
            _listen(sockets.values(), heard, seconds)
            open_questions = [
                question
                for question in questions
                if question.key.kind != "neighbour" and not heard[question.key]
            ]
            if not open_questions:
                break
    return {key: tuple(answers) for key, answers in heard.items()}


def send(interface: str, frames: Iterable[bytes]) -> None:
    """Send frames that nobody has to answer. OSError."""
    with _open(interface) as out:
        for frame in frames:
            out.send(frame)


def _open(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        opened.bind((interface, _EVERYTHING))
        opened.setblocking(False)  # noqa: FBT003
    except OSError:
        opened.close()
        raise
    return opened


def _listen(
    sockets: Iterable[socket.socket], heard: Mapping[Key, set[Answer]], seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    every = list(sockets)
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select(every, (), (), left)
        for one in ready:
            frame, (_, _, kind, *_) = one.recvfrom(_LARGEST)
            if kind == socket.PACKET_OUTGOING:
                continue
            answer = read(frame)
            if answer is not None and answer.key in heard:
                heard[answer.key].add(answer)

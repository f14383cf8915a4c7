"""Requests to a controller are made by a child process that is not root.

Whoever answers in a controller's place writes to TLS, to HTTP and to what unpacks it. If one of those has a
hole, what comes through finds itself a user who owns nothing. The child is a copy of the process, as a new
program would load Python once more; so it has what root has read into memory until then.

What passes is one line of JSON, and the reply's body after it: nothing that could name a function.
"""

from __future__ import annotations

import functools
import json
import os
import pwd
import signal
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BufferedRWPair
from typing import Any, NoReturn

from .calls import UnavailableError
from .errors import ZtgateError, in_words
from .exchange import LARGEST, LIMIT, Direct, Exchange, Question, Reply
from .secret import printable

USER = "ztgate-api"  # overlays/bootstrap/usr/lib/sysusers.d/ztgate.conf
LINE = 1 << 16  # bytes of the line before a body
# Seconds after which a child ends that has still no answer, as nobody waits for it any longer (http.py). To
# kill it, root would need one capability more.
LONG = int(LIMIT) + 1
GONE = "the process that asks the controller has ended"
JOURNAL = "journalctl -u ztgate shows why; it is tried again by itself"


@functools.cache
def exchange() -> Exchange:
    """The one of this process: apart where there is root to be left, and a user for it."""
    if os.geteuid() != 0:
        return Direct()
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return Direct()
    return Apart(user.pw_uid, user.pw_gid)


@dataclass(frozen=True)
class _Child:
    pid: int
    wire: BufferedRWPair


class Apart:
    """Has requests made by a child with those ids, one after the other; it lives as long as this process."""

    def __init__(self, uid: int, gid: int) -> None:
        self._ids = uid, gid
        self._child: _Child | None = None
        self._left: list[int] = []  # processes that have ended, or will before long

    def ask(self, question: Question) -> Reply:
        """The child's answer."""
        child = self._child = self._child or self._begun()
        try:
            _say(child.wire, asdict(question))
            return _answer(child.wire)
        except (OSError, ValueError, KeyError, TypeError):
            self.drop()
            raise UnavailableError(GONE, JOURNAL) from None

    def drop(self) -> None:
        """Leave the child: what it may still say would be taken for the answer to the next question."""
        if self._child is None:
            return
        child, self._child = self._child, None
        self._left.append(child.pid)
        with suppress(OSError):  # what could not be written is of no use any more
            child.wire.close()

    def _begun(self) -> _Child:
        """A child, and none of those before it as a zombie."""
        self._left = [pid for pid in self._left if os.waitpid(pid, os.WNOHANG) == (0, 0)]
        return _start(*self._ids)


def _start(uid: int, gid: int) -> _Child:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _live(theirs, uid, gid)
    theirs.close()
    wire = ours.makefile("rwb")
    ours.close()  # the wire is all that holds it open now
    return _Child(pid, wire)


def _live(theirs: socket.socket, uid: int, gid: int) -> NoReturn:
    """All of the child's life; whatever happens in it, it does not go on as its parent would."""
    try:
        with theirs.makefile("rwb") as wire:
            _leave(theirs.fileno(), uid, gid)
            direct = Direct()
            while line := wire.readline():
                signal.alarm(LONG)
                _serve(wire, direct, Question(**json.loads(line)))
                signal.alarm(0)
    finally:
        os._exit(0)


def _leave(wire: int, uid: int, gid: int) -> None:
    """Be nobody, and hold nothing that root has opened."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, wire)
    os.closerange(wire + 1, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _serve(wire: BufferedRWPair, direct: Direct, question: Question) -> None:
    try:
        reply = direct.ask(question)
    except Exception as error:
        _say(wire, _told(in_words(error)))
        return
    head = {"status": reply.status, "retry_after": reply.retry_after, "location": reply.location}
    _say(wire, {**head, "bytes": len(reply.content)}, reply.content)


def _told(error: ZtgateError) -> dict[str, Any]:
    said: dict[str, Any] = {"error": error.message, "hint": error.hint, "passing": False}
    if isinstance(error, UnavailableError):
        said |= {"passing": True, "reached": error.reached}
    return said


def _say(wire: BufferedRWPair, head: dict[str, Any], content: bytes = b"") -> None:
    wire.write(json.dumps(head).encode() + b"\n" + content)
    wire.flush()


def _answer(wire: BufferedRWPair) -> Reply:
    """What the child says. It is believed no more than a controller is."""
    head = json.loads(wire.readline(LINE))
    if "error" in head:
        message, hint = printable(str(head["error"])), printable(str(head["hint"]))
        if head["passing"]:
            raise UnavailableError(message, hint, reached=bool(head["reached"]))
        raise ZtgateError(message, hint)
    size = int(head["bytes"])
    if not 0 <= size <= LARGEST:
        raise ValueError(size)
    content = wire.read(size)
    if len(content) != size:
        raise ValueError(size)
    return Reply(int(head["status"]), content, str(head["retry_after"]), str(head["location"]))

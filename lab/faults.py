"""An API that fails in every way that a network and a server know, on the wire, and then behaves again.

``Faulty`` goes between `lab.httpd.HttpServer` and what really answers. Faults of a reply let the request
through first: a write whose reply is lost has been carried out all the same.
"""

import threading
from collections.abc import Callable, Iterator

from lab.httpd import HangUp, Reply, Request, bytes_reply, json_reply

DRIP = 1.0  # seconds from one byte to the next
SILENCE = 30.0  # seconds
PORTAL = b"<!DOCTYPE html><title>Welcome to our hotel</title><form>Room number <input></form>"

Answer = Callable[[Request], Reply]
# What becomes of a request; it may ask the answer, and the event is set when the server is to end.
Fault = Callable[[Request, Answer, threading.Event], Reply]


class Faulty:
    """``answer``, except that from some request on a fault takes its place."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._fault: Fault | None = None
        self._good = 0
        self._end = threading.Event()

    def __call__(self, request: Request) -> Reply:
        """Answer, or play the fault."""
        if self._fault is None or self._good > 0:
            self._good -= 1
            return self._answer(request)
        return self._fault(request, self._answer, self._end)

    def play(self, fault: Fault, *, after: int = 0) -> None:
        """Play a fault once ``after`` more requests were answered, until it is mended."""
        self._fault, self._good, self._end = fault, after, threading.Event()

    def mend(self) -> None:
        """Behave; replies that still drip come to their end."""
        self._fault = None
        self._end.set()


def status(code: int, message: str = "", **headers: str) -> Fault:
    """Refuse everything with this status."""
    body = json_reply(code, {"type": "internal", "message": message})
    sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return lambda *_: Reply(code, body.chunks, body.length, sent)


def body(content: bytes, content_type: str = "application/json") -> Fault:
    """The same body with status 200 for whatever is asked."""
    return lambda *_: bytes_reply(200, content, content_type)


def at_writes(fault: Fault) -> Fault:
    """The fault for whoever wants to change something; reading goes well."""

    def played(request: Request, answer: Answer, end: threading.Event) -> Reply:
        return answer(request) if request.method == "GET" else fault(request, answer, end)

    return played


def portal(*_: object) -> Reply:
    """What a hotel's network answers in everybody's place."""
    return bytes_reply(200, PORTAL, "text/html")


def reset(request: Request, answer: Answer, _: threading.Event) -> Reply:
    """Half of the reply, then a reset."""
    return _ending(answer(request), reset=True)


def short(request: Request, answer: Answer, _: threading.Event) -> Reply:
    """Half of the reply that was announced, then an orderly end of the connection."""
    return _ending(answer(request), reset=False)


def cut(request: Request, answer: Answer, _: threading.Event) -> Reply:
    """JSON that ends in the middle, although as long as announced."""
    content = _content(answer(request))
    return bytes_reply(200, content[: len(content) // 2], "application/json")


def drip(request: Request, answer: Answer, end: threading.Event) -> Reply:
    """One byte, and after a while the next."""
    reply = answer(request)
    content = _content(reply)

    def chunks() -> Iterator[bytes]:
        for number in range(len(content)):
            end.wait(DRIP)
            yield content[number : number + 1]

    return Reply(reply.status, chunks(), len(content), reply.headers)


def silence(_: Request, __: Answer, end: threading.Event) -> Reply:
    """Nothing, until the client has long gone."""
    end.wait(SILENCE)
    return Reply(504)


def _content(reply: Reply) -> bytes:
    return b"".join(bytes(chunk) for chunk in reply.chunks)


def _ending(reply: Reply, *, reset: bool) -> Reply:
    content = _content(reply)

    def chunks() -> Iterator[bytes]:
        yield content[: len(content) // 2]
        raise HangUp(reset=reset)

    return Reply(reply.status, chunks(), max(len(content), 1), reply.headers)

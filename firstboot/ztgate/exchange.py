"""One request to a controller and its reply, by the HTTP library; apart.py has it made without root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .calls import UnavailableError
from .errors import ZtgateError

if TYPE_CHECKING:
    import requests

TIMEOUT = (10.0, 30.0)  # seconds: to connect, between two reads
LIMIT = 60.0  # seconds for a whole reply, which may come byte by byte
PIECE = 1 << 16  # bytes
# Bytes of a reply. Central's of 10,000 members, at the kilobyte that it takes for one, has a third of it.
LARGEST = 32 << 20
AGAIN = "nothing to do here: it is asked again by itself, every few minutes"
WAY = "`ztgate doctor` shows how far the way there leads; it is tried again by itself, every few minutes"


@dataclass(frozen=True)
class Question:
    """A request; url is the whole address, host what people know it by.

    authority: a certificate, as text, that is trusted instead of the system's authorities.
    clock_doubt: why a certificate's dates cannot be judged here; "" when they can.
    """

    method: str
    url: str
    host: str
    headers: dict[str, str]
    body: str | None
    authority: str | None = None
    clock_doubt: str = ""


@dataclass(frozen=True)
class Reply:
    """What came back, whatever the status; retry_after and location are the headers of those names."""

    status: int
    content: bytes
    retry_after: str = ""
    location: str = ""


class Exchange(Protocol):
    """Who makes requests."""

    def ask(self, question: Question) -> Reply:
        """The reply.

        Raises:
            UnavailableError: there is none.
            ZtgateError: there will be none before somebody has done something.
        """

    def drop(self) -> None:
        """The question is not waited for any longer."""


class Direct:
    """Makes requests in this process, as whoever it is."""

    def __init__(self, session: requests.Session | None = None) -> None:
        self._session = session
        self._files: dict[str, str] = {}

    def drop(self) -> None:
        """Nothing: whoever gave up has left ask() already."""

    def ask(self, question: Question) -> Reply:
        """One request and the whole of its reply."""
        import requests  # slow to import: a reboot does not need it

        if self._session is None:
            self._session = requests.Session()
            # Otherwise a proxy variable or ~/.netrc would change whom we talk to, and as whom.
            self._session.trust_env = False
        name = f"the controller at {question.host}"
        try:
            reply = self._session.request(
                question.method,
                question.url,
                data=question.body,
                headers={**question.headers, "Content-Type": "application/json"},
                timeout=TIMEOUT,
                verify=True if question.authority is None else self._file(question.authority),
                allow_redirects=False,
                stream=True,
            )
            content = _content(reply, name)
        except requests.exceptions.SSLError as error:
            raise _tls_error(question.host, str(error), question.clock_doubt) from None
        except requests.exceptions.Timeout as error:
            reached = not isinstance(error, requests.exceptions.ConnectTimeout)
            raise UnavailableError(f"{name} does not answer in time", WAY, reached=reached) from None
        except requests.exceptions.RequestException as error:
            raise _unreachable(name, str(error)) from None
        headers = (reply.headers.get(name, "") for name in ("Retry-After", "Location"))
        return Reply(reply.status_code, content, *headers)

    def _file(self, authority: str) -> str:
        """A file with that certificate, in memory: the library takes a path only."""
        if authority not in self._files:
            file = os.memfd_create("authority")
            os.write(file, authority.encode())
            self._files[authority] = f"/proc/self/fd/{file}"
        return self._files[authority]


def _content(reply: requests.Response, name: str) -> bytes:
    """The body, unless there is no end to it: memory is small, and needed for other things."""
    content = bytearray()
    for piece in reply.iter_content(PIECE):
        content += piece
        if len(content) > LARGEST:
            reply.close()
            raise UnavailableError(f"{name} answers with more than {LARGEST >> 20} MiB", AGAIN)
    return bytes(content)


def _tls_error(host: str, text: str, clock_doubt: str) -> ZtgateError:
    if "not yet valid" in text or "expired" in text:
        word = "it has expired" if "expired" in text else "it is not valid yet"
        if clock_doubt:
            wrong = f"is not valid at this time, or the clock is wrong: {clock_doubt}"
            hint = "timedatectl timesync-status shows the time server"
            return UnavailableError(f"the certificate of {host} {wrong}", hint)
        return ZtgateError(
            f"the certificate of {host} is not valid at this time: {word}",
            "whoever runs the controller has to renew it; the clock was set by a time server",
        )
    if "doesn't match" in text or "mismatch" in text:
        return ZtgateError(f"the certificate of {host} is for another name", "check controller.url")
    if "WRONG_VERSION_NUMBER" in text:
        return ZtgateError(f"{host} does not speak TLS", "write http:// in controller.url")
    if "certificate" not in text:
        return _unreachable(f"the controller at {host}", text)
    return ZtgateError(
        f"the certificate of {host} is signed by nobody that this machine trusts",
        "give the controller's own authority as controller.ca-file",
    )


def _unreachable(name: str, text: str) -> UnavailableError:
    """The few causes that tell people something, found in the library's words."""
    broken = {
        "reset": "connection reset",
        "EOF": "the other side hung up",
        "Incomplete": "the reply was not complete",
        "without response": "the other side hung up",
    }
    causes = {
        "Name or service not known": "its name is unknown",
        "NameResolution": "its name cannot be resolved",
        "name resolution": "its name cannot be resolved",
        "refused": "connection refused",
        "unreachable": "no route to it",
        "No route to host": "no route to it",
        "timed out": "no answer in time",
    }
    for part, word in broken.items():
        if part in text:
            return UnavailableError(f"the connection to {name} broke off: {word}", AGAIN)
    word = next((word for part, word in causes.items() if part in text), "no connection")
    return UnavailableError(f"{name} cannot be reached: {word}", WAY, reached=False)

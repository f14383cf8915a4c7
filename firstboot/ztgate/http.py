"""Calls to a controller over HTTP: tried again when that can help, and put into words when it cannot.

Neither the token nor the text of an exception of the HTTP library reaches a message.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from .calls import Calls, UnavailableError
from .errors import ZtgateError
from .secret import hidden
from .wait import TooSlow, deadline, pauses

if TYPE_CHECKING:
    import requests

RETRIED = {408, 425, 429}  # and everything from 500 on
TIMEOUT = (10.0, 30.0)  # seconds: to connect, between two reads
LIMIT = 60.0  # seconds for a whole reply, which may come byte by byte
HERE = 30.0  # seconds that are waited within a round; for longer pauses the round ends
SHOWN = 200  # characters of a server's words
AGAIN = "nothing to do here: it is asked again by itself, every few minutes"
WAY = "`ztgate doctor` shows how far the way there leads; it is tried again by itself, every few minutes"
PORTAL = "log in where this machine is connected to the internet, or correct controller.url"
WRONG_API = "is controller.kind right for this URL?"


class StatusError(ZtgateError):
    """An answer that trying again would not change. said: the server's own words about it."""

    def __init__(self, code: int, message: str, hint: str = "", said: str = "") -> None:
        super().__init__(message, hint)
        self.code = code
        self.said = said


class Api:
    """One controller's base URL with the credentials for it.

    clock_doubt: why a certificate's dates cannot be judged here; "" when they can.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        ca_file: str | None,
        calls: Calls,
        clock_doubt: str = "",
        session: requests.Session | None = None,
    ) -> None:
        self.url = url
        self.host = urlsplit(url).netloc
        self._headers = dict(headers)
        self._ca_file = ca_file
        self._calls = calls
        self._clock_doubt = clock_doubt
        self._session = session

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; StatusError for 3xx and 4xx, UnavailableError when there is none."""
        for attempt, pause in enumerate(pauses(1.0, HERE), 1):
            self._calls.ask()
            try:
                answer = self._attempt(method, path, body)
            except UnavailableError as trouble:
                self._calls.failed(trouble)
                wait = max(pause, trouble.asked_for)
                if wait > HERE or attempt >= self._calls.tries:
                    raise
                self._calls.clock.sleep(wait)
            except ZtgateError:
                self._calls.answered()
                raise
            else:
                self._calls.answered()
                return answer
        raise AssertionError("pauses() never ends")

    def _attempt(self, method: str, path: str, body: Any) -> Any:
        reply = self._exchange(method, path, body)
        if reply.status_code in RETRIED or reply.status_code >= 500:
            raise self._in_trouble(reply)
        if not 200 <= reply.status_code < 300:
            raise self._refused(reply, method, path)
        return self._decoded(reply.content)

    def _exchange(self, method: str, path: str, body: Any) -> requests.Response:
        """One request and the whole of its reply."""
        import requests  # slow to import: a reboot does not need it

        if self._session is None:
            self._session = requests.Session()
            # Otherwise a proxy variable or ~/.netrc would change whom we talk to, and as whom.
            self._session.trust_env = False
        name = f"the controller at {self.host}"
        try:
            with deadline(LIMIT):
                return self._session.request(
                    method,
                    self.url + path,
                    data=None if body is None else json.dumps(body),
                    headers={**self._headers, "Content-Type": "application/json"},
                    timeout=TIMEOUT,
                    verify=self._ca_file or True,
                    allow_redirects=False,
                )
        except TooSlow:
            message = f"{name} answers too slowly: its reply was not complete after {LIMIT:g} seconds"
            raise UnavailableError(message, AGAIN) from None
        except requests.exceptions.SSLError as error:
            raise _tls_error(self.host, str(error), self._clock_doubt) from None
        except requests.exceptions.Timeout as error:
            reached = not isinstance(error, requests.exceptions.ConnectTimeout)
            raise UnavailableError(f"{name} does not answer in time", WAY, reached=reached) from None
        except requests.exceptions.RequestException as error:
            raise _unreachable(name, str(error)) from None

    def _in_trouble(self, reply: requests.Response) -> UnavailableError:
        code = reply.status_code
        if code == 511:  # RFC 6585: only ever sent by a network in between
            return self._portal()
        word = "asks for fewer calls" if code == 429 else "has trouble"
        asked_for = retry_after(reply.headers.get("Retry-After", ""), time.time())
        message = f"the controller at {self.host} {word} ({code})"
        return UnavailableError(message, AGAIN, asked_for=asked_for)

    def _refused(self, reply: requests.Response, method: str, path: str) -> StatusError:
        code = reply.status_code
        if 300 <= code < 400:
            target = _shown(_place(self.url + path, reply.headers.get("Location", "")))
            hint = "if the controller has moved, change controller.url; if that is a login page, log in there"
            return StatusError(code, f"{self.host} sends us on to {target} ({code})", hint)
        said = _shown(_message(reply.content))
        return StatusError(code, f"{self.host} answered {code} to {method} {path}", said=said)

    def _decoded(self, content: bytes) -> Any:
        try:
            return json.loads(content) if content else {}
        except ValueError:
            first = content.lstrip()[:1]
        if first == b"<":
            raise self._portal()
        if first in (b"{", b"["):
            raise UnavailableError(f"the controller at {self.host} answered with damaged JSON", AGAIN)
        hint = "check controller.url: it does not lead to an API"
        raise ZtgateError(f"{self.host} answered something that is not JSON", hint)

    def _portal(self) -> UnavailableError:
        message = f"a web page answers in place of the API at {self.host}: a captive portal, or the wrong URL"
        return UnavailableError(message, PORTAL)


def retry_after(value: str, now: float) -> float:
    """Seconds that a Retry-After header asks for; 0 when there is none that makes sense."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return 0.0


def _place(here: str, location: str) -> str:
    """Where a redirection leads, without what may be meant for one reader only."""
    try:
        return urlsplit(urljoin(here, location))._replace(query="", fragment="").geturl()
    except ValueError:
        return "nowhere"


def _shown(text: str) -> str:
    """A server's words, fit for a console; some servers repeat what they were sent."""
    return "".join(letter for letter in hidden(text) if letter.isprintable())[:SHOWN]


def _message(content: bytes) -> str:
    """What an API says about its refusal, under the names that APIs use for it."""
    try:
        data = json.loads(content)
    except ValueError:
        return ""
    if not isinstance(data, dict):
        return ""
    texts = (data.get(key) for key in ("message", "description", "detail", "error"))
    words = [next((text for text in texts if isinstance(text, str)), "")]
    rows = data.get("details")  # new Central: which field it is about
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            words.append(": ".join(str(row[key]) for key in ("field", "message") if key in row))
    return "; ".join(filter(None, words))


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

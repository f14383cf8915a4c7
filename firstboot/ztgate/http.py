"""Calls to a controller over HTTP: tried again when that can help, and put into words when it cannot.

Neither the token nor the text of an exception of the HTTP library reaches a message.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .errors import WaitingError, ZtgateError
from .wait import Clock, pauses

if TYPE_CHECKING:
    import requests

RETRIED = {408, 425, 429, 500, 502, 503, 504}
TIMEOUT = (10.0, 30.0)  # seconds: to connect, between two reads
PATIENCE = 90.0  # seconds of trying before the whole run begins again
LONGEST_PAUSE = 30.0
SAID = 200  # characters of a server's words that are shown


class StatusError(ZtgateError):
    """An answer that trying again would not change. said: the server's own words about it."""

    def __init__(self, code: int, message: str, hint: str = "", said: str = "") -> None:
        super().__init__(message, hint)
        self.code = code
        self.said = said


class Api:
    """One controller's base URL with the credentials for it."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        ca_file: str | None,
        clock: Clock,
        say: Callable[[str], None],
        session: requests.Session | None = None,
    ) -> None:
        self.url = url
        self.host = urlsplit(url).netloc
        self._headers = dict(headers)
        self._ca_file = ca_file
        self._clock = clock
        self._say = say
        self._session = session

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; StatusError for 4xx, WaitingError when it stays unreachable."""
        end = self._clock.now() + PATIENCE
        for pause in pauses(1.0, LONGEST_PAUSE):
            reason, asked = self._attempt(method, path, body)
            if isinstance(reason, Answer):
                return reason.body
            wait = max(pause, asked)
            if self._clock.now() + wait > end:
                raise WaitingError(reason)
            self._say(reason)
            self._clock.sleep(wait)
        raise AssertionError("pauses() never ends")

    def _attempt(self, method: str, path: str, body: Any) -> tuple[Answer | str, float]:
        """An answer, or the reason to try again and the seconds that the server asked for."""
        import requests  # slow to import: a reboot does not need it

        if self._session is None:
            self._session = requests.Session()
            # Otherwise a proxy variable or ~/.netrc would change whom we talk to, and as whom.
            self._session.trust_env = False
        try:
            reply = self._session.request(
                method,
                self.url + path,
                data=None if body is None else json.dumps(body),
                headers={**self._headers, "Content-Type": "application/json"},
                timeout=TIMEOUT,
                verify=self._ca_file or True,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise _tls_error(self.host, str(error)) from None
        except requests.exceptions.Timeout:
            return f"the controller at {self.host} does not answer in time", 0.0
        except requests.exceptions.RequestException as error:
            return f"the controller at {self.host} cannot be reached: {_why(str(error))}", 0.0
        if reply.status_code in RETRIED:
            asked = retry_after(reply.headers.get("Retry-After", ""), time.time())
            word = (
                "asks for fewer calls" if reply.status_code == 429 else f"has trouble ({reply.status_code})"
            )
            return f"the controller at {self.host} {word}", min(asked, PATIENCE)
        if not 200 <= reply.status_code < 300:
            message = f"{self.host} answered {reply.status_code} to {method} {path}"
            raise StatusError(reply.status_code, message, said=self._said(reply.content))
        return Answer(_decode(reply.content, self.host)), 0.0

    def _said(self, content: bytes) -> str:
        """An error's own words, short and without credentials, where it has a "message" as at Central."""
        try:
            data = json.loads(content)
            rows = [data, *(data.get("details") or [])]
            parts = [": ".join(str(row[key]) for key in ("field", "message") if key in row) for row in rows]
        except (ValueError, TypeError, AttributeError):
            return ""
        text = "; ".join(filter(None, parts))
        for value in self._headers.values():
            text = text.replace(value.split()[-1], "***")
        return "".join(letter if letter.isprintable() else " " for letter in text)[:SAID]


class Answer:
    """The body of a successful reply, decoded."""

    def __init__(self, body: Any) -> None:
        self.body = body


def retry_after(value: str, now: float) -> float:
    """Seconds that a Retry-After header asks for; 0 when there is none that makes sense."""
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return 0.0


def _decode(content: bytes, host: str) -> Any:
    try:
        return json.loads(content) if content else {}
    except ValueError:
        hint = "check controller.url: this looks like a web page, not like an API"
        raise ZtgateError(f"{host} answered something that is not JSON", hint) from None


def _tls_error(host: str, text: str) -> ZtgateError:
    if "not yet valid" in text or "expired" in text:
        return ZtgateError(
            f"the certificate of {host} is not valid at this time", "check the clock: timedatectl"
        )
    if "doesn't match" in text or "mismatch" in text:
        return ZtgateError(f"the certificate of {host} is for another name", "check controller.url")
    if "WRONG_VERSION_NUMBER" in text:
        return ZtgateError(f"{host} does not speak TLS", "write http:// in controller.url")
    return ZtgateError(
        f"the certificate of {host} is signed by nobody that this machine trusts",
        "give the controller's own authority as controller.ca-file",
    )


def _why(text: str) -> str:
    """The few causes that tell people something, found in the library's words."""
    causes = {
        "Name or service not known": "its name is unknown",
        "NameResolution": "its name cannot be resolved",
        "name resolution": "its name cannot be resolved",
        "refused": "connection refused",
        "unreachable": "no route to it",
        "No route to host": "no route to it",
        "timed out": "no answer in time",
        "reset": "connection reset",
    }
    return next((word for part, word in causes.items() if part in text), "no connection")

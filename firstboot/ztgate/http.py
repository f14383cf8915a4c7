"""Calls to a controller over HTTP: tried again when that can help, and put into words when it cannot.

Neither the token nor the text of an exception of the HTTP library reaches a message.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from . import apart
from .calls import Calls, UnavailableError
from .errors import ZtgateError
from .exchange import AGAIN, LIMIT, Exchange, Question, Reply
from .secret import printable
from .wait import TooSlow, deadline, pauses

RETRIED = {408, 425, 429}  # and everything from 500 on
HERE = 30.0  # seconds that are waited within a round; for longer pauses the round ends
SHOWN = 200  # characters of a server's words
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
        authority: str | None,
        calls: Calls,
        clock_doubt: str = "",
        exchange: Exchange | None = None,
    ) -> None:
        self.url = url
        self.host = urlsplit(url).netloc
        self._headers = dict(headers)
        self._authority = authority
        self._calls = calls
        self._clock_doubt = clock_doubt
        self._exchange = apart.exchange() if exchange is None else exchange

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
        reply = self._answer(method, path, body)
        if reply.status in RETRIED or reply.status >= 500:
            raise self._in_trouble(reply)
        if not 200 <= reply.status < 300:
            raise self._refused(reply, method, path)
        return self._decoded(reply.content)

    def _answer(self, method: str, path: str, body: Any) -> Reply:
        """One request and the whole of its reply."""
        text = None if body is None else json.dumps(body)
        url = self.url + path
        question = Question(method, url, self.host, self._headers, text, self._authority, self._clock_doubt)
        try:
            with deadline(LIMIT):
                return self._exchange.ask(question)
        except TooSlow:
            self._exchange.drop()
            slow = f"the controller at {self.host} answers too slowly"
            message = f"{slow}: its reply was not complete after {LIMIT:g} seconds"
            raise UnavailableError(message, AGAIN) from None

    def _in_trouble(self, reply: Reply) -> UnavailableError:
        code = reply.status
        if code == 511:  # RFC 6585: only ever sent by a network in between
            return self._portal()
        word = "asks for fewer calls" if code == 429 else "has trouble"
        asked_for = retry_after(reply.retry_after, time.time())
        message = f"the controller at {self.host} {word} ({code})"
        return UnavailableError(message, AGAIN, asked_for=asked_for)

    def _refused(self, reply: Reply, method: str, path: str) -> StatusError:
        code = reply.status
        if 300 <= code < 400:
            target = printable(_place(self.url + path, reply.location))[:SHOWN]
            hint = "if the controller has moved, change controller.url; if that is a login page, log in there"
            return StatusError(code, f"{self.host} sends us on to {target} ({code})", hint)
        said = printable(_message(reply.content))[:SHOWN]
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

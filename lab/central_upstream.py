"""The controller behind the facade: a ZeroTier daemon's local API (its /controller part and /peer)."""

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.errors import LabError

Json = dict[str, Any]
TIMEOUT = 10.0  # seconds


class UpstreamError(LabError):
    """The controller did not answer as it should."""


@dataclass(frozen=True)
class Answer:
    """What the daemon said, unread."""

    status: int
    content_type: str
    body: bytes


class Upstream:
    """The daemon at ``url``, asked with the token in ``token_file`` (read anew: it may come later)."""

    def __init__(self, url: str, token_file: Path) -> None:
        where = urlsplit(url)
        if where.scheme != "http" or not where.hostname or where.path.strip("/"):
            raise LabError(
                f"--controller {url}: not a daemon's address", "it looks like http://127.0.0.1:9993"
            )
        self._host, self._port = where.hostname, where.port or 9993
        self._token_file = token_file

    def forward(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """One request, as it is.

        Raises:
            UpstreamError: nobody answers.
        """
        client = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        try:
            client.request(method, path, body, headers)
            reply = client.getresponse()
            return Answer(reply.status, reply.getheader("Content-Type", ""), reply.read())
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamError(f"the controller does not answer: {error}") from None
        finally:
            client.close()

    def get(self, path: str) -> Any:
        """What is there; None when nothing is."""
        return self._call("GET", path)

    def post(self, path: str, body: Json) -> Any:
        """Write ``body`` there and return what is there now; None when the place does not exist."""
        return self._call("POST", path, json.dumps(body).encode())

    def delete(self, path: str) -> None:
        """Remove what is there."""
        self._call("DELETE", path)

    def _call(self, method: str, path: str, body: bytes = b"") -> Any:
        try:
            token = self._token_file.read_text().strip()
        except OSError as error:
            raise UpstreamError(f"no token for the controller: {error}") from None
        answer = self.forward(method, path, body, {"X-ZT1-Auth": token, "Content-Type": "application/json"})
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise UpstreamError(f"{method} {path}: the controller answers {answer.status}")
        try:
            return json.loads(answer.body) if answer.body else {}
        except ValueError:
            raise UpstreamError(f"{method} {path}: the controller's answer is not JSON") from None

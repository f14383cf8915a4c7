"""Files over HTTP, with patience: a mirror that hiccups is asked again before anybody hears of it."""

from __future__ import annotations

import re
import threading

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, ProtocolError
from urllib3.util import Retry

from builder.errors import Unreachable

TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
LIMIT = 200 << 20  # bytes of a download; ZeroTier's package has about 3 MB
# Again at once, then after 1, 2, 4 and 8 s; the last of these not where there is no connection at all.
PATIENCE = Retry(
    total=5,
    connect=4,
    backoff_factor=0.5,
    retry_after_max=60,
    status_forcelist=(408, 429, 500, 502, 503, 504),
    raise_on_status=False,
)

_own = threading.local()  # a requests.Session is not for two threads at once


def download(url: str) -> bytes:
    """What is at an address; when the connection breaks in the middle, it is fetched from the start again."""
    left = PATIENCE
    while True:
        with _opened(url) as reply:
            try:
                return _body(reply)
            except requests.RequestException as e:
                broken = e
        try:
            left = left.increment("GET", url, error=ProtocolError(broken))
        except MaxRetryError:
            raise Unreachable(f"{url}: {_reason(broken)}") from None
        left.sleep()


def _opened(url: str) -> requests.Response:
    """An answer that has begun; what fails before that is the session's to repeat."""
    try:
        reply = _session().get(url, timeout=TIMEOUT, stream=True)
    except requests.RequestException as e:
        raise Unreachable(f"{url}: {_reason(e)}") from None
    if reply.status_code != 200:
        reply.close()
        overloaded = reply.status_code in PATIENCE.status_forcelist
        raise Unreachable(f"{url}: HTTP {reply.status_code} {reply.reason}", answered=not overloaded)
    return reply


def _body(reply: requests.Response) -> bytes:
    data = bytearray()
    for piece in reply.iter_content(1 << 16):
        data += piece
        if len(data) > LIMIT:
            raise Unreachable(f"{reply.url}: more than {LIMIT >> 20} MiB", answered=True)
    return bytes(data)


def _session() -> requests.Session:
    """This thread's own, which keeps its connections open."""
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
        for scheme in ("http://", "https://"):
            _own.session.mount(scheme, HTTPAdapter(max_retries=PATIENCE))
    session: requests.Session = _own.session
    return session


def _reason(error: requests.RequestException) -> str:
    """The innermost cause in a few words; requests nests three exceptions and their addresses in memory."""
    text = str(error.args[0] if error.args else error)
    for sign, words in (
        ("Name or service not known", "its name is not known"),
        ("Temporary failure in name resolution", "no name service"),
        ("Failed to resolve", "its name is not known"),
        ("Connection refused", "connection refused"),
        ("timed out", "no answer"),
        ("CERTIFICATE_VERIFY_FAILED", "its certificate is not one that this machine trusts"),
        ("Network is unreachable", "network is unreachable"),
    ):
        if sign in text:
            return words
    return re.sub(r"<[^>]*>:? ?", "", text)

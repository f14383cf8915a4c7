"""How people's editors save a text: line endings, encoding, what comes with it."""

import re
from collections.abc import Callable


def mixed(text: str) -> bytes:
    """The first line ends as on Windows, the second as on an old Mac, the others as here."""
    endings = iter(("\r\n", "\r"))
    return re.sub("\n", lambda _: next(endings, "\n"), text).encode()


EDITORS: dict[str, Callable[[str], bytes]] = {
    "LF": lambda text: text.encode(),
    "CR LF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR, an old Mac": lambda text: text.replace("\n", "\r").encode(),
    "mixed": mixed,
    "UTF-8 with BOM": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
    "Notepad's Unicode": lambda text: b"\xff\xfe" + text.replace("\n", "\r\n").encode("utf-16-le"),
    "UTF-16 BE": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "Ctrl-Z": lambda text: text.replace("\n", "\r\n").encode() + b"\x1a",
    "Latin-1": lambda text: f"# für zu Hause\n{text}".encode("latin-1"),
    "no end of line": lambda text: text.rstrip("\n").encode(),
}

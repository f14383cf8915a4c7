"""What people's editors make of a text file: any encoding that is common, any line endings, one text."""

from __future__ import annotations

import codecs

import yaml

from .errors import ZtgateError

# YAML's line breaks but LF; editors count them as lines, too.
BREAKS = ("\r\n", "\r", "\x85", "\u2028", "\u2029")
# What YAML 1.1 (section 5.1) does not allow in a text. PyYAML has compiled it, which takes a while.
UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),  # "Unicode" in older Notepads, and what PowerShell's > writes
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
DOCUMENTS = (b"{\\rtf", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # TextEdit and WordPad; .docx and .odt; .doc
END_OF_FILE = "\x1a"  # Ctrl-Z, which DOS programs put at the end


def decode(content: bytes, name: str, *, strict: bool = False) -> str:
    """The text of a file, its lines ending in LF; ZtgateError names the line of what is no text.

    Older editors' umlauts are guessed, for they are mostly in comments; strict=True refuses them.
    """
    if content.startswith(DOCUMENTS):
        raise ZtgateError(f"{name}:1: a word processor's document", "save it as plain text")
    text = _unicode(content)
    if text is None and strict:
        raise ZtgateError(f"{name}: no UTF-8 text", "save it as UTF-8")
    return tidy(content.decode("cp1252", "replace") if text is None else text, name)


def tidy(text: str, name: str) -> str:
    """The same without byte order mark, without Ctrl-Z at the end and with LF at the end of lines."""
    text = text.removeprefix("\ufeff")
    for ending in BREAKS:
        text = text.replace(ending, "\n")
    head, mark, tail = text.partition(END_OF_FILE)
    if mark and not tail.strip(f"{END_OF_FILE} \t\n"):
        text = head
    if bad := UNPRINTABLE.search(text):
        raise _unprintable(bad.group(), f"{name}:{text.count(chr(10), 0, bad.start()) + 1}")
    return text


def _unicode(content: bytes) -> str | None:
    for mark, encoding in BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _unprintable(character: str, where: str) -> ZtgateError:
    if character == "\0":
        return ZtgateError(
            f"{where}: not a text file: NUL bytes, as after a power cut while it was written",
            "write the file again as plain text, and eject the card before you pull it out",
        )
    return ZtgateError(
        f"{where}: not a text file: a control character (U+{ord(character):04X})",
        "delete it, or save the file as plain text",
    )

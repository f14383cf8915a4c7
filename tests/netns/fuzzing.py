"""Hostile inputs made of good ones, and what must not come of them."""

import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import strategies as st
from ztgate.machine import Machine

from tests.unit.firstboot.support import FakeTools

Json = Any
# What would mean something to nft, shells, HTML, unbound, ndppd, systemd, terminals and Python.
NASTY: tuple[Json, ...] = (
    "x\n", "\nx", "\n}\ntable inet evil {\n}\n", '"; drop', "'; touch evil; '", "$(touch evil)", "`evil`",
    "a b", "a;b", "a#b", "a}b", "{{ 7 * 7 }}", "%(x)s", "{0}", "<script>evil()</script>",
    '"><img onerror=evil()>', "\x1b[2J\x1b]0;evil\x07", "\x00", "\x85", "\u2028", "\ud800", "\u202eevil",
    "\N{SEE-NO-EVIL MONKEY}", "-evil", "--evil", "../../etc/evil", "/etc/passwd", "10.0.0.0/33", "10.0.0.0/0",
    "0.0.0.0", "::", "::/0", "fe80::1%evil", "127.0.0.1", "255.255.255.255", "a" * 300, "1" * 5000, "", " ",
    "null", "NaN", "1e999", 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, True, False, None, [], {}, [[]],
    [None], {"": None}, [{}],
)  # fmt: skip
# Copies: a document is changed in more than one place, also within what was put into it.
_COPIES = st.sampled_from(NASTY).map(deepcopy)
VALUES = _COPIES | st.text(max_size=12) | st.integers() | st.floats(allow_nan=False)
PIECES = st.sampled_from([text for text in NASTY if isinstance(text, str)])


def nodes(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of everything in a document."""
    yield path
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in below:
        yield from nodes(each, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, documents: tuple[Json, ...]) -> Json:
    """A good document with one to three changes: something else in its place, gone, twice, or within."""
    document = deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(nodes(document))
        path = places[draw(st.integers(0, len(places) - 1))]
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return draw(VALUES)
            continue
        *above, last = path
        parent = document
        for key in above:
            parent = parent[key]
        _change(draw, parent, last)
    return document


def _change(draw: st.DrawFn, parent: Json, key: Any) -> None:
    value = parent[key]
    match draw(st.integers(0, 5)):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, list):
            parent.insert(key, deepcopy(value))
        case 1:
            parent[draw(st.text(max_size=6))] = deepcopy(value)
        case 2:
            parent[key] = [value]
        case 3 if isinstance(value, str):
            at = draw(st.integers(0, len(value)))
            parent[key] = value[:at] + draw(PIECES) + value[at:]
        case _:
            parent[key] = draw(VALUES)


@st.composite
def mangled(draw: st.DrawFn, texts: tuple[bytes, ...]) -> bytes:
    """A good text with pieces put in, cut out, moved and flipped."""
    content = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        first, last = sorted(draw(st.integers(0, len(content))) for _ in range(2))
        match draw(st.integers(0, 4)):
            case 0:
                piece = draw(PIECES).encode("utf-8", "surrogatepass")
                content = content[:first] + piece + content[first:]
            case 1:
                content = content[:first] + content[min(last, first + 20) :]
            case 2:
                content = content[:last] + content[first:last][:40] + content[last:]
            case 3:
                content = content[:first] + draw(st.binary(max_size=4)) + content[first + 1 :]
            case _:
                content = content[:last]
    return content


@dataclass
class Outcome:
    """What a run has left: texts by name, and what it said."""

    texts: dict[str, str]
    said: str
    argvs: list[tuple[str, ...]] = field(default_factory=list)


def left(made: Machine, pretended: FakeTools, loaded: list[str]) -> Outcome:
    """All that a pretended machine has got of a run."""
    paths, root = made.paths, str(made.paths.root)
    rules, beside = ([text for text in loaded if (FAST_PATH in text) is its] for its in (False, True))
    wanted = {
        "nft": "".join(rules[-1:]), "fast path": "".join(beside[-1:]), "ndppd": _text(paths.ndppd_conf),
        "unbound": _text(paths.resolver_conf), "names": _text(paths.resolver_names),
        "socket": _text(paths.page_socket),
        "keys": _text(paths.authorized_keys), "wifi": _text(paths.wifi("wlan0")),
    }  # fmt: skip
    kit = paths.page_dir / "kit"
    for path in sorted(kit.glob("*")) if kit.is_dir() else ():
        wanted[path.name] = _text(path)
    said = _text(paths.status_text) + _text(paths.root / "dev/ttyS0")
    texts = {name: text.replace(root, "") for name, text in wanted.items() if text}
    return Outcome(texts, said.replace(root, ""), pretended.calls)


def _text(path: Any) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else ""


# What a value may be made of where it stands in a configuration: addresses, numbers, names.
PLAIN = re.compile(r'"?[\w.:/%*-]*"?[,;]?')
TOOLS = {"ip", "nft", "ping", "systemctl", "networkctl", "sync", "wpa_cli"}


def injections(good: Outcome, seen: Outcome) -> Iterator[str]:
    """What is in the texts of a run that no good run's texts have."""
    for name in ("nft", "fast path", "ndppd", "unbound", "names", "socket"):
        if text := seen.texts.get(name):
            between = "=" if name == "socket" else " "
            yield from (f"{name}: {what}" for what in strange(good.texts[name], text, between))
            yield from (f"{name}: {what}" for what in refused(name, seen.texts))
    for name in ("join.sh", "join-macos.sh", "openwrt.sh", "join.ps1"):
        if text := seen.texts.get(name):
            yield from (f"{name}: {what}" for what in in_script(good.texts[name], text))
    for line in seen.texts.get("keys", "").splitlines():
        if not re.search(r"(ssh|ecdsa|sk)-\S+ [A-Za-z0-9+/]+=*", line):
            yield f"keys: {line!r}"
    for argv in seen.argvs:
        if argv[0] not in TOOLS or any(not word.isprintable() for word in argv):
            yield f"started: {argv}"
    odd = {letter for letter in seen.said if not letter.isprintable() and letter not in "\r\n"}
    if odd:
        yield f"said to terminals: {odd}"


def strange(good: str, text: str, between: str = " ") -> Iterator[str]:
    """Lines that begin like none of a good text, and words that are no plain values.

    between: a line's first word and what follows.
    """
    good, text = (each.replace(between, " ") for each in (good, text))
    firsts = {line.split()[0] for line in good.splitlines() if line.strip()}
    known = set(good.split())
    for line in text.splitlines():
        words = line.split()
        if words and words[0] not in firsts and not re.fullmatch(r"rev_\w+", words[0]):
            yield f"a line of its own: {line!r}"
        for word in words:
            if word not in known and not PLAIN.fullmatch(word):
                yield f"{word!r} in {line!r}"


def in_script(good: str, text: str) -> Iterator[str]:
    """A script differs from a good one in what its variables are, and in comments."""
    if len(good.splitlines()) != len(text.splitlines()) or good.count("\n") != text.count("\n"):
        yield "it has other lines"
    for one, line in zip(good.splitlines(), text.splitlines(), strict=False):
        if one == line or (one.startswith("#") and line.startswith("#")):
            continue
        name, _, value = line.partition("=")
        if not one.startswith(f"{name}=") or not value.strip().startswith("'"):
            yield f"another line: {line!r}"
        elif line.startswith("$"):
            if value.strip()[1:-1].count("'"):
                yield f"a quote too many: {line!r}"
        elif len(shlex.split(line)) != 1 or line.count("'") != 2:
            yield f"more than one word: {line!r}"


def refused(name: str, texts: dict[str, str]) -> tuple[str, ...]:
    """What the program itself says of its configuration."""
    if name == "nft":
        return _nft(texts["nft"])
    if name == "unbound":
        return _unbound(texts["unbound"], texts.get("names", ""))
    return ()


TABLES = ["table inet ztgate {", "table arp ztgate {"]
FAST_PATH = "table inet ztgate_fast {"  # hangs on interfaces that are not here, so nft cannot look at it


@cache
def _nft(text: str) -> tuple[str, ...]:
    done = subprocess.run(["nft", "-c", "-f", "-"], input=text, text=True, capture_output=True)
    tables = re.findall(r"^table .*\{", text, re.MULTILINE)
    if tables in (TABLES, TABLES[:1]):
        tables = []
    return (*([done.stderr] if done.returncode else []), *tables)


@cache
def _unbound(settings: str, names: str) -> tuple[str, ...]:
    # One file, without what is on the appliance only.
    text = re.sub(r"(?m)^ *(include|auto-trust-anchor-file|control-interface): .*$", "", settings)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{text}\n{names}")
        file.flush()
        done = subprocess.run(["unbound-checkconf", file.name], text=True, capture_output=True)
    return () if done.returncode == 0 else (done.stderr,)


def dumped(value: Json) -> bytes:
    """JSON, lone surrogates escaped as a server may send them."""
    return json.dumps(value).encode()

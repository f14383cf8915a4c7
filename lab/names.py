"""The internet's domain names: root servers at the real addresses, and zones below a signed root.

A resolver that knows only its root hints and the lab's trust anchor can work here as it does outside:
recursive, over both families, validating. Knot signs the zones and serves them; topology.py says which.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import process, topology
from lab.netns import Namespace
from lab.retry import NotYet, retry
from lab.topology import Zone

ALGORITHM = "ECDSAP256SHA256"  # RFC 8624: one that signers and validators have to know
SHA256 = "2"  # digest type of a DS record
# Its TTL (s) is also that of whoami's answer.
SOA = "@ 5 SOA a.root-servers.net. hostmaster.example.com. 1 3600 600 86400 60"
CONFIGURATION = """\
server:
    rundir: {work}
    listen: [ {listen} ]
database:
    storage: {work}
policy:
  - id: lab
    manual: on
template:
  - id: default
    storage: {work}
    zonefile-sync: -1
    journal-content: none
zone:
"""


class Names:
    """The name servers: one process for the root, whose answers lead on to the other one."""

    def __init__(self, host: Namespace, work: Path) -> None:
        self.host, self.work = host, work
        self._ds: dict[str, str] = {}

    def start(self) -> None:
        """Make keys, write the zones and serve them."""
        root, *others = topology.ZONES
        here = [str(topology.INTERNET.ipv4.ip), str(topology.INTERNET.ipv6.ip)]
        self._serve("zones", here, others)
        self._serve("root", [address for pair in topology.ROOT_SERVERS for address in pair], [root])
        retry(self._answers, 20, "the root servers")

    @property
    def trust_anchor(self) -> str:
        """The DS record of the lab's own root, as gateway.yaml takes it."""
        return f". DS {self._ds['.']}"

    def _serve(self, name: str, addresses: list[str], zones: list[Zone]) -> None:
        """Start a server for zones; those that it delegates to have their keys already."""
        work = self.work / name
        work.mkdir(parents=True, exist_ok=True)
        configuration, listen = work / "knot.conf", ", ".join(f"{address}@53" for address in addresses)
        settings = "".join(line for zone in zones for line in _settings(zone))
        configuration.write_text(CONFIGURATION.format(work=work, listen=listen) + settings)
        for zone in zones:
            if zone.signed:
                self._ds[zone.name] = _new_key(configuration, zone)
            lines = [SOA, *zone.records, *_servers(zone)]
            if zone.name == ".":
                lines += [line for below in topology.ZONES[1:] for line in self._delegation(below)]
            (work / _file(zone)).write_text("\n".join([*lines, ""]))
        self.host.start(f"names-{name}", "knotd", "-c", configuration)

    def _delegation(self, zone: Zone) -> Iterator[str]:
        """What the root says of a zone."""
        yield from _servers(zone)
        if zone.signed:
            *key, digest = self._ds[zone.name].split()
            yield f"{zone.name} 300 DS {' '.join(key)} {digest[::-1] if zone.bogus else digest}"

    def _answers(self) -> None:
        server, _ = topology.ROOT_SERVERS[0]
        if not ask(self.host, server, ".", "DNSKEY", patience=1).data:
            raise NotYet("the root is not signed yet")


def _new_key(configuration: Path, zone: Zone) -> str:
    """One key that signs all of a zone; the DS record's data."""
    keymgr: list[process.Arg] = ["keymgr", "-c", configuration, zone.name]
    process.run([*keymgr, "generate", f"algorithm={ALGORITHM}", "ksk=yes", "zsk=yes"])
    rows = (line.split()[2:] for line in process.run([*keymgr, "ds"]).splitlines())
    return next(" ".join(words) for words in rows if words[2] == SHA256)


@dataclass(frozen=True)
class Answer:
    """What a server said: the status by its name, the header's flags, and the data of the kind asked for."""

    status: str
    flags: frozenset[str]
    data: tuple[str, ...]


def ask(host: Namespace, server: str, name: str, kind: str = "A", *, patience: int = 5) -> Answer:
    """Ask a resolver or name server, twice within `patience` seconds each.

    Raises:
        LabError: there was no answer.
    """
    shown = host.run("kdig", f"@{server}", "+dnssec", f"+timeout={patience}", "+retry=1", name, kind)
    return parse(shown, kind)


def parse(shown: str, kind: str) -> Answer:
    """From kdig's output."""
    status, flags = re.search(r"status: (\w+)", shown), re.search(r"Flags: ([a-z ]+)", shown)
    rows = [line.split() for line in shown.splitlines() if line and not line.startswith(";")]
    return Answer(
        status[1] if status else "",
        frozenset(flags[1].split()) if flags else frozenset(),
        tuple(row[4] for row in rows if len(row) > 4 and row[3] == kind),
    )


def _servers(zone: Zone) -> Iterator[str]:
    """A zone's name servers, with their addresses; whoami's is asked over IPv4, as it has to see one."""
    if zone.name == ".":
        for letter, (ipv4, ipv6) in zip(string.ascii_lowercase, topology.ROOT_SERVERS, strict=False):
            server = f"{letter}.root-servers.net."
            yield from (f". 300 NS {server}", f"{server} 300 A {ipv4}", f"{server} 300 AAAA {ipv6}")
        return
    server = f"ns.{zone.name}"
    yield from (f"{zone.name} 300 NS {server}", f"{server} 300 A {topology.INTERNET.ipv4.ip}")
    if not zone.whoami:
        yield f"{server} 300 AAAA {topology.INTERNET.ipv6.ip}"


def _settings(zone: Zone) -> Iterator[str]:
    """A zone in Knot's configuration."""
    yield f"  - domain: {zone.name}\n    file: {_file(zone)}\n"
    if zone.signed:
        yield "    dnssec-signing: on\n    dnssec-policy: lab\n"
    if zone.whoami:
        yield "    module: mod-whoami\n"


def _file(zone: Zone) -> str:
    return f"{zone.name}zone"

"""Whatever the network, a card, the kernel or ZeroTier say: no traceback, no hang, nothing smuggled in.

Each input is a good one with changes (fuzzing.py). It is given to a whole run of `ztgate apply`, and what
that leaves is looked at: by nft and unbound themselves, by shells' rules, word by word. 10,000 of each with
--soak.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st
from ztgate import service
from ztgate.controllers import open as opening
from ztgate.exchange import Direct
from ztgate.http import Api
from ztgate.observe import hand_out
from ztgate.wait import deadline

from lab.scenario import Scenario
from tests.unit.firstboot.support import FakeController, machine, tools, with_console

from . import fuzzing
from .api_doors import DOORS, Change, Door

SHORT, ROUND, ROUNDS = 40, 100, 100
# An input that fails is shown as it came: to make it smaller can take for ever.
PHASES = (hypothesis.Phase.generate,)
LIMIT = 30.0  # seconds for one input; a good one takes a tenth of one
Json = Any
Draw = Callable[[Any], Any]
TEXT = Path(__file__).with_name("full-gateway.yaml").read_bytes()
FULL: Json = yaml.safe_load(TEXT)
LAN: Json = {"routes": [{"target": "10.66.0.0/24", "via": None}], "v6AssignMode": {"zt": False}}
WIZARD = {"network": {"wifis": {"wlan0": {
    "regulatory-domain": "DE", "access-points": {"attic": {"password": "correct horse", "hidden": True}},
}}}}  # fmt: skip
LINK = {"DHCPv6Client": {"Prefixes": [{"Prefix": [0x26, 0x02, 0x0D, 0xB8, *[0] * 12], "PrefixLength": 56}]}}


class Journal(logging.Handler):
    """Tracebacks that were written down."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """What `in_words` says of an exception that nobody has foreseen."""
        if "should not have happened" in str(record.msg):
            self.found.append(record.getMessage())


class Gateway:
    """A gateway in a directory of its own; what its tools, service and controller say can be changed."""

    def __init__(self, root: Path, kind: str = "central-v1") -> None:
        config = {
            **FULL,
            "controller": {**FULL["controller"], "kind": kind, "url": f"http://c.lab{DOORS[kind]}"},
        }
        self.controller = FakeController(json.loads(json.dumps(LAN)))
        self.made = machine(root, self.controller, text=json.dumps(config))
        with_console(self.made)
        (self.made.paths.interfaces / "wlan0/phy80211").mkdir(parents=True)
        self.pretended, self.loaded, self.kind = tools(self.made), [""], kind
        self.pretended.delegated = json.dumps(LINK)
        self.made.probe = self._probe
        self.output: Callable[[str], str] = lambda text: text
        self.answer: Change = lambda found: found
        self.local: Change = lambda found: found
        call = self.made.service.call
        self.made.service.call = lambda *words: self._service(call(*words))  # type: ignore[method-assign]

    def _service(self, said: tuple[int, Any]) -> tuple[int, Any]:
        return said[0], self.local(said[1])

    def _probe(self, argv: Any, *, stdin: str | None = None, timeout: float = 60) -> tuple[int, str]:
        if tuple(argv) == ("nft", "-f", "-") and stdin:
            self.loaded.append(stdin)
        status, output = self.pretended(argv, stdin=stdin, timeout=timeout)
        return status, self.output(output) if argv[0] in ("ip", "networkctl") else output

    def run(self) -> fuzzing.Outcome:
        """One round of `ztgate apply`, and a look at the page; the outcome has what they left."""
        journal = Journal()
        logging.getLogger("ztgate").addHandler(journal)
        try:
            with pytest.MonkeyPatch.context() as patch, deadline(LIMIT):
                patch.setattr(opening, "Api", self._api)
                service.apply(self.made, once=True)
                hand_out.write(self.made)
        finally:
            logging.getLogger("ztgate").removeHandler(journal)
        assert not journal.found, journal.found[0]
        return fuzzing.left(self.made, self.pretended, self.loaded)

    def _api(self, url: str, headers: Any, **more: Any) -> Api:
        more["exchange"] = Direct(Door(self.kind, self.controller, self.answer))  # type: ignore[arg-type]
        return Api(url, headers, **more)


@contextmanager
def gateway(kind: str = "central-v1") -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        yield Gateway(Path(root), kind)


@cache
def good() -> fuzzing.Outcome:
    """What a good run leaves."""
    with gateway() as made:
        outcome = made.run()
        status = made.made.paths.status_text.read_text()
    assert "ready" in status, status
    assert {"nft", "ndppd", "unbound", "names", "socket", "keys", "join.sh"} <= outcome.texts.keys()
    return outcome


def some(draw: Draw, value: Json) -> Json:
    """A good answer; each third one with changes."""
    return draw(fuzzing.mutated((value,))) if draw(st.integers(0, 2)) == 0 else value


def reading(draw: Draw, text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return json.dumps(some(draw, value))


def gateway_yaml(made: Gateway, draw: Draw) -> None:
    text = st.one_of(fuzzing.mangled((TEXT,)), fuzzing.mutated((FULL,)).map(fuzzing.dumped))
    made.made.paths.fat_config.write_bytes(draw(text))


def replies(made: Gateway, draw: Draw) -> None:
    made.answer = lambda found: some(draw, found)


def kernel(made: Gateway, draw: Draw) -> None:
    made.output = lambda text: reading(draw, text)


def local_service(made: Gateway, draw: Draw) -> None:
    made.local = lambda found: some(draw, found)


def wizard(made: Gateway, draw: Draw) -> None:
    config = {key: value for key, value in FULL.items() if key != "wifi"}
    made.made.paths.fat_config.write_text(json.dumps(config))
    document = st.one_of(
        fuzzing.mutated((WIZARD,)).map(fuzzing.dumped), fuzzing.mangled((fuzzing.dumped(WIZARD),))
    )
    made.made.paths.network_config.write_bytes(draw(document))


# What is hostile, and for which controllers.
KINDS: dict[str, tuple[Callable[[Gateway, Draw], None], str]] = {
    "gateway.yaml": (gateway_yaml, "self-hosted"),
    **{f"replies of {kind}": (replies, kind) for kind in DOORS},
    "the kernel's answers": (kernel, "central-v1"),
    "ZeroTier's answers": (local_service, "central-v1"),
    "the wizard's network-config": (wizard, "central-v1"),
}


def fuzz(name: str, examples: int, seed: int | None = None) -> None:
    """So many inputs of a kind."""
    spoil, kind = KINDS[name]
    reference = good()

    def one(data: st.DataObject) -> None:
        with gateway(kind) as made:
            spoil(made, data.draw)
            found = list(fuzzing.injections(reference, made.run()))
        assert not found, found

    settings = hypothesis.settings(
        max_examples=examples, database=None, derandomize=seed is None, phases=PHASES,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    test = hypothesis.given(st.data())(one)
    settings(hypothesis.seed(seed)(test) if seed is not None else test)()


@pytest.mark.parametrize("name", KINDS)
def test_hostile_input(name: str) -> None:
    fuzz(name, SHORT)


@pytest.mark.soak
@pytest.mark.scenario("attack", "hostile input of every kind", within=0)
def test_much_hostile_input(scenario: Scenario) -> None:
    """10,000 of each kind, or as many as fit into a share of a soak's time; each input has its own limit."""
    for number in scenario.rounds(short=ROUNDS, least=1):
        for name in KINDS:
            fuzz(name, ROUND, scenario.random.getrandbits(32))
            scenario.figure(f"inputs: {name}", (number + 1) * ROUND)

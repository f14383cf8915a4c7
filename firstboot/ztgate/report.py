"""What people and programs are told: status.json, a text on the FAT partition, a line on the consoles."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from . import __version__, by_hand, healed, store
from .console import plain
from .machine import Machine
from .members_subnet import NAT66, NONE
from .reconcile import Outcome
from .updates import book, words
from .wait import in_words

log = logging.getLogger("ztgate")
# What a status of a gateway in service has, whoever wrote it.
READY_KEYS = {"seconds", *(field.name for field in fields(Outcome))}


def ready(machine: Machine, outcome: Outcome) -> None:
    """The gateway is in service."""
    seconds = _seconds(machine)
    shown = outcome.subnet or (outcome.ipv6 if outcome.ipv6 == NAT66 else "off")
    machine.console.say(
        f"ready network={outcome.network} address={outcome.address} ipv6={shown} seconds={seconds}"
    )
    data = asdict(outcome) | {"wan": _wan(outcome), "seconds": seconds, **_todo(machine)}
    _write(machine, {"state": "ready", "reason": "", **data})


def waiting(machine: Machine, reason: str, hint: str = "") -> None:
    """Something is missing that may still come."""
    machine.say_waiting(reason)
    _write(machine, {"state": "waiting", "reason": reason, "hint": hint, **_todo(machine)})


def failed(machine: Machine, message: str, hint: str) -> None:
    """Somebody has to do something. The first line of the message is the one for the consoles."""
    first = message.splitlines()[0]
    machine.console.say(f"failed: {first}" + (f" ({hint})" if hint else ""))
    for line in message.splitlines()[1:]:
        log.error("%s", line)
    _write(machine, {"state": "failed", "reason": message, "hint": hint})


def withdrawn(machine: Machine, network: str) -> None:
    """It was the gateway once, and is to stay away."""
    machine.console.say(f"withdrawn from network {network}")
    hint = "ztgate register makes this machine its gateway again; --token-file FILE has the token for that"
    reason = f"withdrawn from network {network}"
    _write(machine, {"state": "withdrawn", "reason": reason, "hint": hint, **_todo(machine)})


def text(status: dict[str, Any]) -> str:
    """The status for people."""
    lines = [f"ztgate {status.get('version', '')}: {status.get('state', 'never ran')}"]
    for key in ("reason", "hint"):
        if status.get(key):
            lines += [f"{key}: {line}" for line in str(status[key]).splitlines()]
    if status.get("state") == "ready":
        off, dns = status["ipv6"] == NONE, status.get("resolver", ())
        ipv6 = "off" if off else status["subnet"] or status["ipv6"]
        why = status["ipv6_reason"] if off else status["ipv6_found"]
        lines += [
            f"network: {status['network']}",
            f"node: {status['node']}",
            f"address: {status['address']}",
            f"ipv6: {ipv6} ({why})",
            f"wan: {status['wan']['interface']} {status['wan']['address']}",
            *(f"route: {route}" for route in status["routes"]),
            *([f"dns: {' and '.join(dns)} for {status['domain']} and the internet"] if dns else []),
            f"token: {status['token']}",
            *(f"warning: {warning}" for warning in status["warnings"]),
            f"ready after: {status['seconds']} s",
            f"configuration: {status['source']}",
        ]
    else:
        todo = (f"{number}. {words}" for number, words in enumerate(status.get("todo", ()), 1))
        lines += _block("to do at the controller, by the names of ZeroTier Central's page:", todo)
    if counts := status.get("healed"):
        lines.append(
            "healed since the boot: " + ", ".join(f"{name} {count}" for name, count in counts.items())
        )
    lines += [f"updates: {line}" for line in words.lines(status.get("updates", {}))]
    if window := status.get("enrol"):
        left = f"{in_words(window['seconds_left'])} more, members left: {window['members_left']}"
        lines.append(f"enrol window: open for {left}")
    if refused := status.get("refused"):
        lines.append("refused packets: " + ", ".join(f"{words} {count}" for words, count in refused.items()))
    about = "or in a shell on the machine of a self-hosted controller (needs curl and jq):"
    lines += _block(about, status.get("commands", ()))
    about = "or on a computer that has the builder, with an API token in that gateway.yaml:"
    lines += _block(about, status.get("builder", ()))
    return plain("\n".join(lines)) + "\n"


def _block(head: str, rows: Iterable[str]) -> list[str]:
    """Lines below a headline; nothing if there are none."""
    rows = list(rows)
    return ["", head, *(f"  {row}" for row in rows)] if rows else []


def _todo(machine: Machine) -> dict[str, Any]:
    """What people have to do at the controller, in words and as commands."""
    if not machine.todo:
        return {}
    lines = by_hand.commands(machine.network_id, machine.todo)
    return {
        "todo": [item.words for item in machine.todo],
        "commands": list(lines),
        "builder": list(dict.fromkeys(item.builder for item in machine.todo if item.builder)),
    }


def read(machine: Machine) -> dict[str, Any]:
    """The last status of this boot, else of the one before."""
    paths = machine.paths
    status = next(filter(None, map(store.read_json, (paths.status_now, paths.status_json))), {})
    if status.get("state") == "ready" and not status.keys() >= READY_KEYS:
        return {}  # it is damaged, and a run will write it again
    return status | healed.shown(paths) | book.shown(paths)


def _write(machine: Machine, data: dict[str, Any]) -> None:
    if machine.dry_run:
        return
    store.write(machine.paths.last_run, f"{time.time():.0f}".encode())
    status = {"version": __version__, **data, **healed.shown(machine.paths), **book.shown(machine.paths)}
    content = (json.dumps(status, indent=1) + "\n").encode()
    store.write(machine.paths.status_now, content)
    _show(machine.paths.status_json, content)
    if machine.paths.fat.is_dir():
        _show(machine.paths.status_text, text(status).replace("\n", "\r\n").encode())


def _show(path: Path, content: bytes) -> None:
    """Write it if it has changed: the timer comes by every other minute, and memory cards do not last.

    On a disk that takes nothing any more, how it stands is still in /run.
    """
    try:
        if store.read_bytes(path) != content:
            store.write(path, content)
    except OSError as error:
        log.warning("%s cannot be written: %s", path, error.strerror)


def _wan(outcome: Outcome) -> dict[str, Any]:
    wan = outcome.wan
    return {
        "interface": wan.interface,
        "address": str(wan.address),
        "interface6": wan.interface6,
        "addresses6": [str(address) for address in wan.addresses6],
        "prefixes": [str(prefix) for prefix in wan.prefixes],
        "delegated": [str(prefix) for prefix in wan.delegated],
    }


def _seconds(machine: Machine) -> int:
    """Seconds from boot to the first ready of this boot."""
    mark = machine.paths.ready_seconds
    known = store.read_text(mark)
    if known and known.isdigit():
        return int(known)
    seconds = round(machine.clock.now())
    store.write(mark, str(seconds).encode())
    return seconds

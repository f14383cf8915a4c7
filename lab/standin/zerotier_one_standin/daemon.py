"""zerotier-one itself: starts the threads, waits for a signal, cleans up."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import DEFAULT_HOME, DEFAULT_PORT, NOTICE, VERSION_TEXT, minihttp
from .api import Api
from .coerce import Json, to_int
from .errors import StandinError
from .home import Home
from .node import Node

log = logging.getLogger(__name__)

_HELP = f"""\
ZeroTier One version {VERSION_TEXT} ({NOTICE})
Usage: zerotier-one [-switches] [home directory]

Available switches:
  -h                - Display this help
  -v                - Show version
  -U                - Skip privilege check and do not attempt to drop privileges
  -p<port>          - Port for UDP and TCP/HTTP (default: {DEFAULT_PORT})
  -d                - Fork and run as daemon (Unix-ish OSes)
  -i                - Generate and manage identities (zerotier-idtool)
  -q                - Query API (zerotier-cli)
"""
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}


class _Options(NamedTuple):
    home: Path
    port: int
    background: bool


def main(arguments: Sequence[str]) -> int:
    """Run the daemon until it is told to stop."""
    switches = [each for each in arguments if each.startswith("-")]
    if "-v" in switches:
        print(VERSION_TEXT)
        return 0
    if any(each[1:2] not in ("U", "p", "d") for each in switches):
        print(_HELP, end="")
        return 0
    words = [each for each in arguments if not each.startswith("-")]
    ports = [int(each[2:]) for each in switches if each.startswith("-p") and each[2:].isdigit()]
    home = Path(words[0] if words else DEFAULT_HOME).absolute()
    options = _Options(home, ports[-1] if ports else DEFAULT_PORT, "-d" in switches)
    if "-U" not in switches and os.geteuid() != 0:
        print("zerotier-one: must be run as root (uid 0)", file=sys.stderr)
        return 1
    try:
        return _run(options)
    except StandinError as error:
        print(f"zerotier-one: {error.message}" + (f" ({error.hint})" if error.hint else ""), file=sys.stderr)
        return 1


def _run(options: _Options) -> int:
    home = Home(options.home)
    settings = home.local_conf().get("settings")
    settings = settings if isinstance(settings, dict) else {}
    port = to_int(settings.get("primaryPort"), options.port) or DEFAULT_PORT
    if options.background and os.fork():
        return 0
    logging.basicConfig(level=logging.INFO, format="zerotier-one (STAND-IN): %(message)s", stream=sys.stderr)
    log.warning(NOTICE)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # before any thread starts: they inherit it
    node = Node(home, port, _blacklist(settings))
    api = Api(node, port)
    try:
        listeners = minihttp.serve(port, api.handle)
    except OSError as error:
        raise StandinError(f"cannot bind to local control port {port}: {error.strerror}") from error
    home.write("zerotier-one.pid", f"{os.getpid()}\n")
    home.write("zerotier-one.port", str(port))
    if options.background:
        _detach()
    _carry_on(node)
    for listener in listeners:
        listener.close()
    (home.path / "zerotier-one.pid").unlink(missing_ok=True)
    (home.path / "zerotier-one.port").unlink(missing_ok=True)
    return 0


def _blacklist(settings: Json) -> list[str]:
    """A string instead of an array is ignored, as in the real one."""
    listed = settings.get("interfacePrefixBlacklist")
    return [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []


def _detach() -> None:
    """Let go of the terminal, so that whoever started the daemon can go on."""
    os.setsid()
    with Path(os.devnull).open("r+") as nowhere:
        for descriptor in (0, 1, 2):
            os.dup2(nowhere.fileno(), descriptor)


def _end_with_thread(arguments: threading.ExceptHookArgs) -> None:
    """A daemon that has lost a thread would look alive and carry nothing."""
    log.critical("a thread ended", exc_info=arguments.exc_value)
    os.kill(os.getpid(), signal.SIGTERM)


def _carry_on(node: Node) -> None:
    """Frames in one thread, control in another, signals here."""
    threading.excepthook = _end_with_thread
    frames = threading.Thread(target=node.switch.run, args=(node.paths.links,), name="frames", daemon=True)
    control = threading.Thread(target=node.run, name="control", daemon=True)
    for thread in (frames, control):
        thread.start()
    log.info("node %s, port file written, waiting for signals", node.identity.address_text)
    while signal.sigwait(_SIGNALS) == signal.SIGHUP:
        pass
    node.stop()
    for thread in (control, frames):
        thread.join(timeout=3.0)
    node.close()

"""What no finished image may give away: names and contents, as data; `gate.py` looks for them."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder import hygiene

TAKE_OUT = "take it out of the overlay or package that brings it, or name it under `remove` in images/*.yaml"
BUILDER = "a program wrote down where it ran: take that file out, or build somewhere else to see what it is"

# Names, over those that hygiene.py refuses while the root file system is put together. Paths on the FAT
# partition begin with fat:, in the initrd with initrd:.
NAMES: Mapping[str, str] = {
    "*/zerotier-one/authtoken.secret": "a ZeroTier node's own token",
    "*identity.secret": "a ZeroTier identity",
    "*identity.public": "a ZeroTier identity",
    "*/ssh_host_*_key*": "an SSH host key",
    **hygiene.SECRETS,
    "etc/ssl/private/*": "a private key",
    "*/.ssh/*": "somebody's SSH key or configuration",
    "*/.*_history": "a shell's history",
    "*/.histfile": "a shell's history",
    "*/.lesshst": "what somebody read",
    "*/.viminfo": "what somebody edited",
    "*/.wget-hsts": "what somebody downloaded",
    "*/.netrc": "somebody's password",
    "*/.git-credentials": "somebody's password",
    "*/.gitconfig": "somebody's name",
    "*/.git/*": "somebody's repository",
    "*/.gnupg/*": "somebody's keys",
    "*/.aws/*": "somebody's access keys",
    "*/.docker/config.json": "somebody's password",
    "*/.config/gh/*": "somebody's token",
    "*/.config/gcloud/*": "somebody's access keys",
    "*/.config/rclone/*": "somebody's access keys",
    "*/.azure/*": "somebody's access keys",
    "*/.kube/*": "somebody's access keys",
    "*/.s3cfg": "somebody's access keys",
    "*/.npmrc": "somebody's token",
    "*/.pypirc": "somebody's password",
    "*/.pgpass": "somebody's password",
    "*/.my.cnf": "somebody's password",
    "*/.password-store/*": "somebody's passwords",
    "*.kdbx": "somebody's passwords",
    "*.p12": "a private key",
    "*.pfx": "a private key",
    "etc/apt/auth.conf": "a password of an apt repository",
    "etc/apt/auth.conf.d/*": "a password of an apt repository",
    "etc/NetworkManager/system-connections/*": "the password of a network",
    "var/lib/cloud/*": "what cloud-init was told",
    "var/lib/ztgate/*": "the state of a gateway",
    "*ztgate-status.txt": "the state of a gateway",
    "*gateway.yaml": "a configuration, perhaps with a token",
    "*gateway.new": "a configuration, perhaps with a token",
}


@dataclass(frozen=True)
class Rule:
    """Something to look for in contents.

    `anchor` is what grep looks for everywhere, an extended regular expression that is quick to find;
    `confirm` is what must then be there. Without an anchor, it is looked for in the files of `where` only.
    """

    kind: str
    confirm: re.Pattern[bytes] = field(repr=False)
    anchor: str = field(default="", repr=False)
    hint: str = TAKE_OUT
    where: tuple[str, ...] = ()


# Files that an administrator or a program writes, not a package: where names may be left.
PRIVATE = (
    *("etc/*", "var/*", "root/*", "home/*", "srv/*", "opt/*", "usr/local/*"),
    *("usr/lib/ztgate/*", "usr/share/ztgate/*", "fat:*"),
)
# What is Debian's own, and there on every machine.
DEBIANS = (
    "var/lib/dpkg/*",
    "var/lib/apt/*",
    "var/lib/systemd/catalog/*",
    "etc/ssl/certs/*",
    "usr/lib/ztgate/*.pyc",
)
PRIVATE_LIMIT = 1 << 20  # bytes of a file that is looked at for these

PEM = (
    rb"-{4,5} ?BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)? ?-{4,5}"
    rb"(?:\\n|\s)+(?:[A-Za-z-]+: [^\n]*\s+)*[A-Za-z0-9+/=]{32}"
)
_BASE64 = rb"[A-Za-z0-9+/]"
CONTENTS = (
    Rule("a private key", re.compile(PEM), "PRIVATE KEY"),
    Rule("a private key (PuTTY's)", re.compile(rb"PuTTY-User-Key-File-[0-9]: "), "PuTTY-User-Key-File-"),
    Rule(
        "a private key (minisign's)",
        re.compile(rb"(?:minisign|rsign|signify) [a-z ]*secret key\s+RW" + _BASE64 + rb"{30}"),
        "secret key.?$",  # or a carriage return
    ),
    Rule(
        "a private key (in base64)",
        re.compile(rb"LS0tLS1CRUdJTi[\w+/]{0,32}(?:UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW)[\w+/]{24}"),
        "LS0tLS1CRUdJTi",  # -----BEGIN, as Kubernetes and cloud-init have files
    ),
    Rule("a private key (age's)", re.compile(rb"AGE-SECRET-KEY-1[0-9A-Z]{20}"), "AGE-SECRET-KEY-1"),
    Rule(
        "a private key (WireGuard's)",
        re.compile(rb"PrivateKey\s*=\s*" + _BASE64 + rb"{43}="),
        "PrivateKey *= *[A-Za-z0-9+/]{43}=",
    ),
    Rule(
        "a ZeroTier identity's secret",
        re.compile(rb"\b[0-9a-f]{10}:0:[0-9a-f]{128}:[0-9a-f]{128}\b"),
        "[0-9a-f]{10}:0:[0-9a-f]{128}:",
    ),
    Rule(
        "an API token",
        re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40}|glpat-[\w-]{20})"),
        "gh[pousr]_[A-Za-z0-9]{36}|github_pat_|glpat-",
    ),
    Rule("an API token", re.compile(rb"\bAKIA[0-9A-Z]{16}\b(?<!EXAMPLE)"), "AKIA[0-9A-Z]{16}"),
    Rule(
        "an API token",
        re.compile(rb"(?i)(?<![\w-])token[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9]{32}(?![A-Za-z0-9])"),
        "[Tt]oken[\"']? *[:=] *[\"']?[A-Za-z0-9]{32}",
    ),
    Rule(
        "an API token",
        re.compile(
            rb"\b(?:dop_v1_[0-9a-f]{64}|npm_[A-Za-z0-9]{36}|xox[abprs]-[\w-]{20}|tskey-[a-z]+-\w{12})"
        ),
        "dop_v1_|npm_[A-Za-z0-9]{36}|xox[abprs]-[0-9A-Za-z]|tskey-[a-z]+-",
    ),
    Rule(
        "an API token",
        re.compile(rb"\b(?:AIza[\w-]{35}|pypi-AgEI[\w-]{40}|sk_live_[A-Za-z0-9]{24})"),
        "AIza[A-Za-z0-9_-]{35}|pypi-AgEI|sk_live_",
    ),
    Rule(
        "an API token",
        re.compile(rb"ZTGATE_TOKEN\s*=\s*[\"']?[!-~]{16}"),
        "ZTGATE_TOKEN *= *[\"']?[A-Za-z0-9]",
    ),
    Rule(
        "an API token",
        re.compile(rb"(?i)authorization:\s*(?:token|bearer)\s+[\w.-]{24}"),
        "[Aa]uthorization: *([Tt]oken|[Bb]earer) +[A-Za-z0-9._-]{24}",
    ),
    Rule("a path of the build", re.compile(rb"/mmdebstrap\.[\w-]{10}\b"), "/mmdebstrap[.]", BUILDER),
    Rule(
        "a proxy",
        re.compile(rb"(?im)^\s*acquire::\S*proxy\b|^[^#\n]*\b(?:https?|ftp|all)_proxy\s*=\s*[\"']?\w+:"),
        hint="that proxy is the builder's: the image is used elsewhere; take the setting out",
        where=("etc/*", "root/*", "home/*"),
    ),
    Rule(
        "a password of an apt repository",
        re.compile(rb"\b(?:https?|ftp)://[^\s/:@]+:[^\s/@]+@"),
        where=("etc/apt/*",),
    ),
    Rule(
        "a password",
        re.compile(rb"(?m)^[a-z_][\w-]*:!*\$[^:\n]+"),
        where=("etc/shadow*", "etc/gshadow*", "etc/passwd*"),
    ),
    Rule(
        "a machine-id",
        re.compile(rb"[0-9a-f]{32}"),
        where=("etc/machine-id", "var/lib/dbus/machine-id"),
        hint="take it out, or leave the file empty: then each machine gets its own at boot",
    ),
    Rule(
        "the password of a network",
        re.compile(rb"(?m)^\s*(?:psk|wpa_passphrase|password)\s*=\s*\S+"),
        where=("etc/wpa_supplicant/*", "etc/hostapd/*"),
    ),
)
MACHINE_ID = re.compile(rb"[0-9a-f]{32}")
# Of a repository of ours, so that a short path such as /work is no word of somebody else's.
PARTS = r"/(build[.]py|builder/|overlays/|firstboot/|images/|lab/|out/|tests/|[.]cache/|[.]venv/)"
# Names that say nothing of anybody.
COMMON = {
    *(
        "root",
        "user",
        "users",
        "admin",
        "debian",
        "ubuntu",
        "localhost",
        "build",
        "builder",
        "runner",
        "test",
    ),
    *(
        "host",
        "server",
        "linux",
        "ztgate",
        "gateway",
        "home",
        "pi",
        "raspberrypi",
        "docker",
        "vagrant",
        "main",
    ),
}
LONG = 12  # characters of a secret that is no word of somebody else's
SHORTEST = 4  # letters of a name that is looked for


@dataclass(frozen=True)
class Who:
    """Who builds, and where: none of it may be in what is built."""

    user: str
    home: str
    host: str
    machine_id: str
    places: tuple[str, ...]

    def rules(self) -> tuple[Rule, ...]:
        """What to look for."""
        found = [_literal("a path of the build", place, PARTS) for place in self.places]
        if self.home.count("/") > 1:
            rule = _word if Path(self.home).name in COMMON else _literal
            found.append(rule("the builder's home directory", self.home))
        if MACHINE_ID.fullmatch(self.machine_id.encode()):
            found.append(_literal("this computer's machine-id", self.machine_id))
        for kind, name in (("the builder's user name", self.user), ("the builder's host name", self.host)):
            if len(name) >= SHORTEST and name.lower() not in COMMON:
                found.append(_word(kind, name))
        return tuple(found)


def who(root: Path, *others: Path) -> Who:
    """Facts of this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in some containers
        user = ""
    try:
        machine_id = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine_id = ""
    places = {str(place.resolve()) for place in (root, *others)} - {"/"}
    return Who(user, os.path.expanduser("~"), socket.gethostname(), machine_id, tuple(sorted(places)))  # noqa: PTH111


def _literal(kind: str, text: str, after: str = "") -> Rule:
    """A text that is looked for everywhere."""
    anchor = re.sub(r"([^\w/-])", r"[\1]", text) + after
    ending = after.encode() or rb"(?![\w-])"
    return Rule(kind, re.compile(re.escape(text.encode()) + ending), anchor, BUILDER)


def _word(kind: str, name: str) -> Rule:
    """A name that may be an ordinary word elsewhere."""
    edges = rb"(?<![\w.-])" + re.escape(name.encode()) + rb"(?![\w-])"
    return Rule(kind, re.compile(edges), hint=BUILDER, where=PRIVATE)

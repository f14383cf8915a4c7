"""What a running gateway says of its own defences: a command of a shell, and its whole answer."""

import re
from dataclasses import dataclass
from pathlib import Path

from lab.machine import Shell

ROOT = Path(__file__).resolve().parents[2]
SYSCTLS = ROOT / "overlays/common/etc/sysctl.d/60-ztgate.conf"
EXPOSURE = 3.0  # of 10, at most: systemd-analyze's count for a unit of ours
# Where Python looks for modules: each place that somebody but root may write to.
LOOSE_PLACES = """\
cd /tmp && python3 -I -c 'import os, stat, sys
for place in [*sys.path, *filter(os.path.isdir, ["/usr/lib/ztgate"])]:
    if os.path.exists(place):
        for folder in (place, *(path for path, _, _ in os.walk(place))):
            found = os.stat(folder)
            if found.st_uid or found.st_mode & 0o022: print(folder)
print("" in sys.path, os.getcwd() in sys.path)'
"""

# Debian's own with another's rights, of use to who has a shell: nobody has one but root.
BECOMING = (
    "chage chfn chsh dbus-daemon-launch-helper expiry gpasswd mount newgrp passwd ssh-agent ssh-keysign su "
    "umount unix_chkpwd"
)
SSHD = (
    "sshd -T | grep -E '^(password|kbdinteractive|pubkey|hostbased)authentication|^permit(empty|root)' | sort"
)
# Connections that are begun while the controller is asked: by the user that is there for it, and by root.
ASKING = """\
nft 'add table inet who; add chain inet who out { type filter hook output priority 0; }
add rule inet who out oif lo accept
add rule inet who out tcp flags & (syn | ack) == syn meta skuid ztgate-api counter
add rule inet who out tcp flags & (syn | ack) == syn meta skuid root counter'
echo a-token-that-nobody-takes | ztgate members --token-file - > /dev/null 2>&1
nft list table inet who | awk '/packets/ { print ($(NF - 2) > 0 ? "yes" : "no") }'
nft delete table inet who
"""
OWNED = "find / -xdev -user ztgate-api"
LOGINS = "grep -v -e nologin$ -e /bin/false$ -e /bin/sync$ /etc/passwd | cut -d: -f1"
# Each process of these: 1 for one of root's.
USERS = (
    "for name in ndppd unbound; do for process in $(pidof $name); do "
    "awk '/^Uid/ { print $2 == 0 }' /proc/$process/status; done; done"
)


@dataclass(frozen=True)
class Case:
    """Something that is to be so: a command, and what it prints."""

    name: str
    command: str
    said: str


CASES = (
    Case("nobody has a password", "cut -d: -f2 /etc/shadow | grep -v '^[*!]' || true", ""),
    Case("root alone logs in", LOGINS, "root"),
    Case(
        "SSH takes keys only",
        SSHD,
        "hostbasedauthentication no\nkbdinteractiveauthentication no\npasswordauthentication no\n"
        "permitemptypasswords no\npermitrootlogin without-password\npubkeyauthentication yes",
    ),
    Case("Python's modules are root's", LOOSE_PLACES, "False False"),
    Case(
        "our programs are isolated",
        "head -qn 1 /usr/bin/ztgate /usr/libexec/ztgate-page | sort -u",
        "#!/usr/bin/python3 -I",
    ),
    Case("the kernel is locked down", r"grep -o '\[.*\]' /sys/kernel/security/lockdown", "[integrity]"),
    Case("the WAN's packets are read without root", USERS, "0\n0"),
    Case("the controller is asked without root", ASKING, "yes\nno"),
    Case("who asks it owns nothing", OWNED, ""),
    Case("no name is answered beside DNS", "ss -Hln | grep -c -e :5355 -e :5353 || true", "0"),
    Case(
        "what becomes somebody else",
        r"find / -xdev -perm /6000 -type f -printf '%f\n' | sort | tr '\n' ' '",
        BECOMING,
    ),
)


def exposures(shell: Shell) -> dict[str, float]:
    """By unit of ours that is loaded, how exposed systemd calls it; without what installs packages."""
    said = shell.run("systemd-analyze security --no-pager")
    found = re.findall(r"^(ztgate(?!-update)\S*)\s+(\d+\.\d)", said, re.MULTILINE)
    return {name: float(score) for name, score in found}


def variables() -> dict[str, str]:
    """What the kernel's variables are to be."""
    return dict(re.findall(r"^([a-z][\w.]+) = (.+)$", SYSCTLS.read_text(), re.MULTILINE))

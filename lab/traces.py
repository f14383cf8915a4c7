"""What somebody with a shell on the gateway could read: its journal, its processes, its state and logs."""

import base64

from lab.errors import LabError
from lab.machine import Shell

# The journal as it is exported: in its files, long lines are compressed. The rest byte for byte.
READ = """
journalctl --no-pager -b -o export
for process in /proc/[0-9]*; do cat "$process/cmdline" "$process/environ" 2>/dev/null; done
find /run /tmp /var/tmp /var/log /var/lib/ztgate /var/lib/cloud /etc/ztgate -xdev -type f -size -4096k \
    ! -path '*/log/journal/*' -exec cat {} + 2>/dev/null
cat /boot/firmware/ztgate-status.txt
true
"""
# What must have been seen, or else nothing was looked at.
PROOF = ("ztgate: ready", "/usr/lib/systemd/systemd", "PATH=/", '"version":')


def places(shell: Shell, secret: str) -> list[str]:
    """The lines in which ``secret`` is, as it is or in base64.

    Raises:
        LabError: too little could be read for that to mean anything.
    """
    text = shell.run(READ, timeout=300)
    if missing := [word for word in PROOF if word not in text]:
        raise LabError(f"the gateway's traces are incomplete: {', '.join(missing)}")
    forms = [secret, *(encoded(secret, shift) for shift in range(3))]
    return [line for line in text.replace("\0", "\n").splitlines() if any(form in line for form in forms)]


def encoded(secret: str, shift: int) -> str:
    """The digits that ``secret`` has in base64 after so many bytes, without those that it shares."""
    text = base64.b64encode(bytes(shift) + secret.encode()).decode()
    return text[(shift * 8 + 5) // 6 : (shift + len(secret)) * 8 // 6]

"""What ./build.py's exit statuses mean: the one table that --help, the manual page and README.md show."""

from __future__ import annotations

from dataclasses import dataclass

DONE, FAILED, MISUSED, STOPPED = 0, 1, 2, 130


@dataclass(frozen=True)
class Status:
    """An exit status, what it means, and what is then on stdout with --json."""

    number: int
    meaning: str
    json: str = '`"ok": false`, `error` and `hint`'


STATUSES = (
    Status(DONE, "done", '`"ok": true`, and the result'),
    Status(
        FAILED,
        "an error, named with what to do next; an image that does not fit (`check`) or differs (`verify`)",
        '`"ok": false`, and `error` and `hint`, or what was found',
    ),
    Status(MISUSED, "a wrong command line: nothing was done"),
    Status(129, "ended by SIGHUP: the terminal is gone", "nothing"),
    Status(STOPPED, "stopped by ^C"),
    Status(143, "ended by SIGTERM", "nothing"),
)
OTHERS = "`run` and `shell` end with the status of the program that they run."


def sentence() -> str:
    """For the end of --help and of the manual page."""
    rows = "; ".join(f"{row.number} {row.meaning.replace(';', ',')}" for row in STATUSES)
    return f"exit status: {rows}. {OTHERS}".replace("`", "")


def table() -> str:
    """For README.md."""
    rows = "".join(f"| {row.number} | {row.meaning} | {row.json} |\n" for row in STATUSES)
    return f"| exit status | | on stdout with `--json` |\n|---|---|---|\n{rows}"

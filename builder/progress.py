"""What a person sees of a build, on stderr."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.text import Text

from builder import run

WIDTH = 10  # of the stages' names


class Progress:
    """One line per stage: what runs and why, how long, what came from the cache. An Observer."""

    def __init__(self, *, debug: bool = False, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False, quiet=quiet)
        self._debug = debug
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._stage = ""
        self._reason = ""
        self._expected: float | None = None
        self._began = 0.0
        self._last = ""

    def __enter__(self) -> Progress:
        if self._debug:
            run.watch(lambda command: self._print(f"[dim]  {self._stage} $ {escape(command)}[/]"))
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        run.watch(None)
        if self._console.is_terminal:
            self._live.stop()

    def waiting(self, text: str) -> None:
        """Say what we wait for; on a terminal only for as long as we do."""
        self._show(Text(f"waiting: {text}", style="dim"))

    def note(self, text: str) -> None:
        """Say it, and let it stay."""
        self._print(f"[dim]- {escape(text)}[/]")

    def cached(self, stage: str, age_days: int) -> None:
        """A stage from the cache."""
        self._show(Text(""))
        age = "" if age_days == 0 else f", {age_days} day{'s' * (age_days > 1)} old"
        self._print(f"[green]✓[/] {stage:{WIDTH}} [dim]from the cache{age}[/]")

    def aside(self, stage: str, reason: str) -> None:
        """A stage that is left out."""
        self._print(f"[yellow]-[/] {stage:{WIDTH}} {escape(reason)}")

    def started(self, stage: str, reason: str, expected: float | None) -> None:
        """A stage begins."""
        self._stage, self._reason, self._began, self._last = stage, reason, time.monotonic(), ""
        self._expected = expected
        if self._console.is_terminal:
            self._live.update(Spinner("dots", self._running()))
        else:
            about = f" (about {expected:.0f} s)" if expected else ""
            self._print(f"  {stage:{WIDTH}} runs{about}: {escape(reason)}")

    def line(self, text: str) -> None:
        """A line of output: the last one is shown, with --debug every one stays."""
        self._last = text.strip()
        if self._debug:
            self._print(f"[dim]  {self._stage} | {escape(text)}[/]")
        self._show(Spinner("dots", self._running()))

    def finished(self, stage: str, seconds: float) -> None:
        """A stage is done."""
        self._show(Text(""))
        self._print(f"[green]✓[/] {stage:{WIDTH}} {seconds:.1f} s  [dim]{escape(self._reason)}[/]")

    def say(self, text: str) -> None:
        """A line that stays; markup is rich's."""
        self._print(text)

    def _running(self) -> Text:
        seconds = int(time.monotonic() - self._began)
        text = Text.assemble(
            (f"{self._stage:{WIDTH}} ", "bold"),
            f"{seconds} s of about {self._expected:.0f}  " if self._expected else f"{seconds} s  ",
            (self._reason, "dim"),
            "  ",
            (self._last, "dim"),
        )
        text.truncate(max(self._console.width - 4, 20), overflow="ellipsis")
        return text

    def _show(self, what: Spinner | Text) -> None:
        if self._console.is_terminal:
            self._live.update(what)

    def _print(self, markup: str) -> None:
        self._console.print(markup, soft_wrap=True)

"""Work that is done again and again, each at its own pace."""

import time
from collections.abc import Callable, Iterable

Job = tuple[float, Callable[[], None]]


class Schedule:
    """Runs jobs when they are due; all of them are due at the beginning."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = list(jobs)
        self._due = [0.0] * len(self._jobs)

    def pause(self) -> float:
        """Seconds until the next job is due."""
        return max(min(self._due) - time.monotonic(), 0.0)

    def run_due(self) -> None:
        """Run what is due."""
        for number, (every, work) in enumerate(self._jobs):
            now = time.monotonic()
            if now >= self._due[number]:
                self._due[number] = now + every
                work()

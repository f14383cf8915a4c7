"""The one exception that users see."""


class BuildError(Exception):
    """Something the user can act on: what is wrong, and what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

"""The one exception that this program raises on purpose."""


class StandinError(Exception):
    """Something that the user or the caller can do something about."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

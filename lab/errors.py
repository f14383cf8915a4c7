"""What goes wrong in the lab itself, as against what the lab finds wrong with the gateway."""


class LabError(Exception):
    """The lab cannot do its work.

    ``message`` names what was asked for and what is the matter, ``hint`` the next thing to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

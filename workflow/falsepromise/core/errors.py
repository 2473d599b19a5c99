"""The exception whose message is written for the user."""


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one line that names the file, the record or the key, what was found, what was
    expected and what to do. `falsepromise.core.cli.run` prints it without a traceback and exits
    with code 1 (or `exit_code`).
    """

    def __init__(self, message: str, exit_code: int = 1):
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code


class CannotScore(UserError):
    """This model can never be scored on this benchmark; the rest of the study can go on."""

"""Errors that end the trainer. The command line prints the message and exits with 1."""


class TrainerError(Exception):
    """The message names the value, what was expected and, if possible, the fix."""


class StoppedError(TrainerError):
    """A signal ended a run, which is saved. done: its iterations. number: the signal."""

    def __init__(self, done: int, number: int) -> None:
        super().__init__(f"stopped at {done}, saved; the same command goes on")
        self.done, self.number = done, number

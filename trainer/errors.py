"""What can stop a trainer that is not a bug: the command line prints the message and exits with 1."""


class TrainerError(Exception):
    """The message names what was given, what was expected and, where there is one, what to do."""


class StoppedError(TrainerError):
    """A signal ended a run, which is saved. done: its iterations. number: the signal."""

    def __init__(self, done: int, number: int) -> None:
        super().__init__(f"stopped at {done}, saved; the same command goes on")
        self.done, self.number = done, number

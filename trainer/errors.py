"""What can stop a trainer that is not a bug: the command line prints the message and exits with 1."""


class TrainerError(Exception):
    """The message names what was given, what was expected and, where there is one, what to do."""

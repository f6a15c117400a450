"""The bases of all errors, and helpers for their messages."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

_SHOWN_CHARACTERS = 200


class StartupError(Exception):
    """The service cannot start. The message names the setting or file, and what was expected."""


class ServiceError(Exception):
    """The base of all errors below. `facts` become members of the problem; `headers` are sent with it."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    example: ClassVar[Mapping[str, Any]]
    """Members of a typical problem: `detail`, and facts."""

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.facts = facts


def expectation(message: str) -> str:
    """Return what a message of pydantic expects: "Input should be a valid integer, ..." becomes "a valid integer"."""
    if message == "Extra inputs are not permitted":
        return "no such field"
    if message == "Field required":
        return "a value"
    words = re.sub(r"^(Input|String|Value) should (be|match|have) ", "", message.removeprefix("Value error, "))
    return re.sub(r",? unable to .*$", "", words)


def shown(value: object) -> str:
    """Cut a value from a client to a length that fits in a message."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"

"""The refusal of an image, by this machine or by a server. Importing it loads no client."""

import re

_QUERY_PARAMETER = re.compile(r"(?:query )?parameter '(\w+)'")


class RefusedError(Exception):
    """An image that is not processed. everything: whether every other image would be refused too."""

    def __init__(self, code: str, detail: str, everything: bool = False) -> None:
        detail = _QUERY_PARAMETER.sub(lambda found: "--" + found[1].replace("_", "-"), detail)
        super().__init__(detail)
        self.code, self.detail, self.everything = code, detail, everything

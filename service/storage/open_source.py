"""Opens the source of checkpoints that a URL names."""

import re
from pathlib import Path

from service.storage.location import parse_location
from service.storage.source import Source


def open_source(url: str, folder: Path, wanted: re.Pattern[str]) -> Source:
    """Return the source that a URL names. folder: for what it keeps between two calls. wanted: names of its files.

    Raises StorageError for a malformed URL, and ImportError if its library is not installed.
    """
    scheme = url.partition("://")[0]
    if scheme == "oci":
        from service.storage.oci import ArtefactSource  # noqa: PLC0415  # httpx takes long to import
        from service.storage.oci_registry import parse_reference  # noqa: PLC0415

        return ArtefactSource(parse_reference(url), folder, wanted)
    if scheme == "hf":
        from service.storage.hub import HubSource, parse_revision  # noqa: PLC0415  # needs an optional extra

        return HubSource(parse_revision(url), folder)
    from service.storage.objects import Objects, PrefixSource  # noqa: PLC0415  # needs an optional extra

    return PrefixSource(parse_location(url), Objects())

"""Documents of which each command writes its own part, and leaves the others' alone."""

from pathlib import Path

from trainer.loop.runs import replace_file


def write_section(path: Path, name: str, text: str) -> None:
    """Put `text` where `path` has the section `name`, between two comments; at its end where it has none yet."""
    begin, end = f"<!-- begin {name}: written by a command, not by hand -->\n", f"<!-- end {name} -->\n"
    section = f"{begin}{text.strip()}\n{end}"
    before = path.read_text() if path.exists() else ""
    head, found, rest = before.partition(begin)
    if found:
        _, closed, tail = rest.partition(end)
        if not closed:
            raise ValueError(f"{path}: the section {name!r} has a beginning and no end")
        after = head + section + tail
    else:
        after = f"{before.rstrip()}\n\n{section}" if before.strip() else section
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, after.encode())

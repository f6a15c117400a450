"""Documents with sections that different commands write."""

from pathlib import Path

from nets.files import replace_file


def write_section(path: Path, name: str, text: str) -> None:
    """Replace the section `name` of `path`, which stands between two comments, or append it."""
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

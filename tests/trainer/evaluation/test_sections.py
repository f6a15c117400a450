"""Documents with parts of several writers."""

import pytest

from trainer.evaluation.sections import write_section

BEGIN, END = "<!-- begin {}: written by a command, not by hand -->\n", "<!-- end {} -->\n"


def section(name, text):
    return f"{BEGIN.format(name)}{text}\n{END.format(name)}"


def test_each_writer_replaces_its_own_part_alone(tmp_path):
    path = tmp_path / "docs" / "results.md"
    write_section(path, "one", "first\n")
    write_section(path, "two", "second")
    assert path.read_text() == f"{section('one', 'first')}\n{section('two', 'second')}"
    write_section(path, "one", "changed")
    assert path.read_text() == f"{section('one', 'changed')}\n{section('two', 'second')}"


def test_what_people_wrote_around_it_stays(tmp_path):
    path = tmp_path / "results.md"
    path.write_text("# By hand\n")
    write_section(path, "one", "first")
    path.write_text(f"{path.read_text()}\nAn afterword.\n")
    write_section(path, "one", "second")
    assert path.read_text() == f"# By hand\n\n{section('one', 'second')}\nAn afterword.\n"


def test_a_part_without_an_end_is_not_overwritten(tmp_path):
    path = tmp_path / "results.md"
    path.write_text(f"{BEGIN.format('one')}precious\n")
    with pytest.raises(ValueError, match="'one' has a beginning and no end"):
        write_section(path, "one", "second")
    assert "precious" in path.read_text()

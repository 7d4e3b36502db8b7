"""The operator's folder of rule files: read when it changes, and never left without its last good rules."""

import logging
import os
from pathlib import Path

import pytest

from relay.replies.reading.rule_files import RuleFiles


def text(reply: str) -> str:
    return f"version: 1\ntenants: ['*']\nrules:\n  - {{id: a, when: {{always: true}}, do: [{{reply: {reply}}}]}}\n"


def write(path: Path, content: str) -> None:
    """As an editor saves: another file in its place."""
    beside = path.with_suffix(".new")
    beside.write_text(content)
    beside.replace(path)


def said(files: RuleFiles) -> dict[str, object]:
    return {one.name: one.rule_set.rules[0].do[0].reply for one in files.sets}


def test_files_come_change_and_go(tmp_path: Path) -> None:
    """Each look reads what has changed, and says whether the rules are others."""
    files = RuleFiles(tmp_path / "rules")
    assert (files.look(), files.sets) == (False, ())
    (tmp_path / "rules").mkdir()
    assert files.look() is False
    shop, desk = tmp_path / "rules" / "shop.yaml", tmp_path / "rules" / "desk.yml"
    write(shop, text("one"))
    write(desk, text("two"))
    for other in ("notes.txt", ".hidden.yaml"):
        (tmp_path / "rules" / other).write_text("not rules")
    (tmp_path / "rules" / "folder.yaml").mkdir()
    assert files.look() is True
    assert said(files) == {"desk": "two", "shop": "one"}
    assert files.look() is False
    before = {one.name: one for one in files.sets}
    write(shop, text("three"))
    assert files.look() is True
    assert said(files) == {"desk": "two", "shop": "three"}
    assert next(one for one in files.sets if one.name == "desk") is before["desk"]
    assert next(one for one in files.sets if one.name == "shop").sha != before["shop"].sha
    desk.unlink()
    assert files.look() is True
    assert said(files) == {"shop": "three"}


def test_a_touched_file_changes_nothing(tmp_path: Path) -> None:
    """Read again, but its rules are the same: nobody needs to compile them anew."""
    write(tmp_path / "shop.yaml", text("one"))
    files = RuleFiles(tmp_path)
    files.look()
    os.utime(tmp_path / "shop.yaml", (1, 1))
    assert files.look() is False


def test_the_last_good_rules_stay_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broken file is told once a change, with line and sentence; others go on; mended, it is in force."""
    caplog.set_level(logging.INFO)
    write(tmp_path / "shop.yaml", text("one"))
    write(tmp_path / "desk.yaml", text("two"))
    files = RuleFiles(tmp_path)
    files.look()
    caplog.clear()
    write(tmp_path / "shop.yaml", text("one").replace("always", "allways"))
    write(tmp_path / "desk.yaml", text("changed"))
    assert files.look() is True
    assert said(files) == {"desk": "changed", "shop": "one"}
    assert {path.name: [problem.line for problem in found] for path, found in files.problems.items()} == {
        "shop.yaml": [4]
    }
    refused = [record for record in caplog.records if record.getMessage() == "rules.file_refused"]
    assert [(record.__dict__["file"], record.__dict__["line"]) for record in refused] == [("shop.yaml", 4)]
    assert "did you mean `always`?" in refused[0].__dict__["reason"]
    caplog.clear()
    assert files.look() is False
    assert caplog.records == []
    write(tmp_path / "shop.yaml", text("mended"))
    assert files.look() is True
    assert said(files) == {"desk": "changed", "shop": "mended"}
    assert files.problems == {}


def test_a_file_that_was_never_right_is_not_in_force(tmp_path: Path) -> None:
    """Nor one that says not whom it serves, nor one that cannot be read."""
    write(tmp_path / "shop.yaml", text("one").replace("tenants: ['*']\n", ""))
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    files = RuleFiles(tmp_path)
    assert files.look() is False
    assert files.sets == ()
    assert [path.name for path in files.problems] == ["shop.yaml"]


def test_two_files_of_one_name(tmp_path: Path) -> None:
    """Their rules could not be told apart: the second is refused."""
    write(tmp_path / "shop.yaml", text("one"))
    write(tmp_path / "shop.yml", text("two"))
    files = RuleFiles(tmp_path)
    files.look()
    assert said(files) == {"shop": "one"}
    assert "Has the same name as shop.yaml" in files.problems[tmp_path / "shop.yml"][0].detail
    (tmp_path / "shop.yaml").unlink()
    files.look()
    assert said(files) == {"shop": "two"}

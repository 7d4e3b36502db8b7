"""The operator's rule files: `*.yaml` and `*.yml` of one folder, in force as long as they are there.

    look ─► names, times, sizes as before ─► False
       └──► read what has changed ─┬─ right ─► in force          ─► True
                                   └─ wrong ─► told once, and the file's last good set stays in force

A look is whole or nothing: `sets` changes in one assignment, so whoever reads it sees one state of the folder.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from msgspec import Struct

from relay.replies.reading.check import read_rules
from relay.replies.reading.problems import Problem, RulesInvalid
from relay.replies.reading.yaml_nodes import BYTES_MOST
from relay.replies.said import said
from relay.replies.schema import RuleSet

_log = logging.getLogger(__name__)
_SUFFIXES = frozenset({".yaml", ".yml"})

Stamp: TypeAlias = tuple[int, int, int]
"""Inode, time of change and size: what tells that a file is another one."""


class RuleFile(Struct, frozen=True, kw_only=True):
    """A file whose rules are in force."""

    name: str
    """The file's, without its ending."""
    path: Path
    rule_set: RuleSet
    sha: str
    """SHA-256 of the text, in hex."""


class _Read(Struct, frozen=True, kw_only=True):
    """What has come of a file."""

    stamp: Stamp
    good: RuleFile | None
    """The last good one."""
    problems: Sequence[Problem] = ()
    namesake: Path | None = None
    """Another file that has its name already."""


class RuleFiles:
    """Empty until the first `look`. A folder that is not there is an empty one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: Mapping[Path, _Read] = {}
        self.sets: tuple[RuleFile, ...] = ()
        """By name."""
        self.problems: Mapping[Path, Sequence[Problem]] = MappingProxyType({})
        """Of each file that was refused."""

    def look(self) -> bool:
        """Read what has changed. True where `sets` is not what it was."""
        stamps = find_rule_files(self._folder)
        if {path: read.stamp for path, read in self._files.items()} == stamps:
            return False
        files: dict[Path, _Read] = {}
        for path, stamp in stamps.items():
            namesake = next((other for other in files if other.stem == path.stem), None)
            files[path] = self._read(path, stamp, namesake)
        before = [(one.path, one.sha) for one in self.sets]
        self._files = files
        self.sets = tuple(read.good for read in files.values() if read.good is not None)
        self.problems = MappingProxyType(
            {path: read.problems for path, read in files.items() if read.problems}
        )
        return [(one.path, one.sha) for one in self.sets] != before

    def _read(self, path: Path, stamp: Stamp, namesake: Path | None) -> _Read:
        known = self._files.get(path)
        if known is not None and (known.stamp, known.namesake) == (stamp, namesake):
            return known
        if namesake is not None:
            return _refuse(path, stamp, namesake)
        last_good = known.good if known is not None else None
        try:
            good = read_rule_file(path)
        except RulesInvalid as error:
            _tell(path, error.problems)
            return _Read(stamp=stamp, good=last_good, problems=error.problems)
        if last_good is None or last_good.sha != good.sha:
            _log.info("rules.file_read", extra={"file": path.name, "rules": len(good.rule_set.rules)})
        return _Read(stamp=stamp, good=good)


def _refuse(path: Path, stamp: Stamp, namesake: Path) -> _Read:
    detail = said("Has the same name as {name}: rename one of them.", name=namesake.name)
    problems = [Problem(line=1, column=1, path="", detail=detail)]
    _tell(path, problems)
    return _Read(stamp=stamp, good=None, problems=problems, namesake=namesake)


def _tell(path: Path, problems: Sequence[Problem]) -> None:
    first = problems[0]
    fields = {"file": path.name, "line": first.line, "problems": len(problems)}
    _log.error("rules.file_refused", extra={**fields, "reason": str(first.sentence)})


def find_rule_files(folder: Path) -> dict[Path, Stamp]:
    """The rule files of a folder, by name; none where there is no folder."""
    found: dict[Path, Stamp] = {}
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    except OSError:
        return {}
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            # Gone between the two looks, or a link that leads nowhere.
            continue
        if path.is_file() and not path.name.startswith("."):
            found[path] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


def read_rule_file(path: Path) -> RuleFile:
    """Raises RulesInvalid, also for a file that cannot be read."""
    content = read_bounded(path)
    rule_set = read_rules(content, operator=True)
    return RuleFile(name=path.stem, path=path, rule_set=rule_set, sha=hashlib.sha256(content).hexdigest())


def read_bounded(path: Path) -> bytes:
    """The file's content, or so much of it that it is seen to be too much. Raises RulesInvalid."""
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MOST + 1)
    except OSError as error:
        detail = said("Cannot be read: {reason}.", reason=error.strerror)
        raise RulesInvalid([Problem(line=1, column=1, path="", detail=detail)]) from None

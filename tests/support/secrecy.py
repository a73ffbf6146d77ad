"""pytest plugin: when a session ends, no secret of the loopback OAuth provider is where it has no business.

Looked through are every file below the base temporary folder (agents' folders, logs, journals, Postgres with its WAL),
what the command line writes elsewhere when it crashes, the rows of the stack (long values are compressed in its files),
and what tests printed. Each worker of xdist looks through its own; one find makes the whole session end with `LEAKED`,
whatever else came of it.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.marked_secrets import MARK, Kind, marks

LEAKED = 9
"""Exit code; none of pytest's, so that nobody who retries failed tests takes it for one of those."""
AT_MOST = 2
"""Marks shown of one file."""


class Database(Protocol):
    """As `StackThread`."""

    def sql(self, query: str, *args: Any) -> list[dict[str, Any]]: ...


@dataclass
class Search:
    """What one process has to look through, and what it found."""

    base: Path | None = None
    began_at: float = field(default_factory=time.time)
    folders: dict[Path, str] = field(default_factory=dict)
    """Each with the test that got it."""
    found: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0
    seconds: float = 0.0

    def all_files(self) -> None:
        began = time.monotonic()
        for place, data in chain(_crashes(self.began_at), _files(self.base)):
            self.files += 1
            self.size += len(data)
            strays = [each for each in marks(data) if not belongs(each.kind, place)]
            for each in strays[:AT_MOST]:
                self.found.append(f"{place}, offset {each.offset}, made by {self._maker(place)}: {each.around!r}")
            if len(strays) > AT_MOST:
                self.found.append(f"{place}: {len(strays) - AT_MOST} more")
        self.seconds += time.monotonic() - began

    def rows_of(self, database: Database) -> None:
        """All rows of all tables that are no catalogue."""
        began = time.monotonic()
        tables = database.sql(
            "select format('%%I.%%I', n.nspname, c.relname) as name from pg_class c "
            "join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'm') and n.nspname !~ %s",
            "^(pg_|information_schema)",
        )
        half = len(MARK) // 2  # in two pieces: the statement itself must not be what is found in a log
        for table in tables:
            query = f"select t::text as row from {table['name']} t where strpos(t::text, %s || %s) > 0 limit 1"  # noqa: S608 - quoted
            for each in database.sql(query, MARK[:half], MARK[half:]):
                self.found.append(f"a row of {table['name']}: {each['row'][:400]}")
        self.seconds += time.monotonic() - began

    def _maker(self, place: Path) -> str:
        known = next((self.folders[each] for each in place.parents if each in self.folders), None)
        return known or ("a fixture of the session" if self.base in place.parents else "nobody knows which")


SEARCH = pytest.StashKey[Search]()


def belongs(kind: Kind | None, place: Path) -> bool:
    """Whether a secret of this kind has to be in this file."""
    match kind:
        case Kind.ACCESS | Kind.REFRESH:  # `FileVault`
            return place.parent.name == "connections" and place.name.endswith(".tokens.json")
        case Kind.CLIENT:  # as tests write it
            return place.name in ("config.yaml", "agent.env")
        case Kind.CODE:  # a page hands it over through `cron_connection_codes`; `rows_of` sees that none is left
            return any(
                above.name in ("base", "pg_wal") and (above.parent / "PG_VERSION").exists() for above in place.parents
            )
    return False


def _crashes(since: float) -> Iterator[tuple[Path, bytes]]:
    """What `cli.boundary` wrote into the system's temporary folder."""
    for place in Path(tempfile.gettempdir()).glob("cronmirror-crash-*.log"):
        if place.stat().st_mtime >= since:
            yield place, place.read_bytes()


def _files(base: Path | None) -> Iterator[tuple[Path, bytes]]:
    """Regular files; not those that vanish meanwhile, with a process that takes its time to end."""
    for folder, _, names in os.walk(base) if base else ():
        for place in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                if stat.S_ISREG(place.lstat().st_mode):
                    yield place, place.read_bytes()


@pytest.fixture(scope="session")
def secrecy(pytestconfig: pytest.Config) -> Search:
    """For fixtures whose databases are to be looked through before they stop."""
    return pytestconfig.stash[SEARCH]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SEARCH] = Search()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    try:
        return (yield)
    finally:
        search, given = item.config.stash[SEARCH], getattr(item, "funcargs", {})
        if "tmp_path_factory" in given:
            search.base = given["tmp_path_factory"].getbasetemp()
        for folder in (given.get("tmp_path"), os.environ.get("HOME")):
            if folder:
                search.folders[Path(folder)] = item.nodeid


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    for name, text in report.sections:
        if MARK in text:
            item.config.stash[SEARCH].found.append(f"{name} of {item.nodeid}")
    return report


@pytest.hookimpl(trylast=True)  # after the session's fixtures
def pytest_sessionfinish(session: pytest.Session) -> None:
    search = session.config.stash[SEARCH]
    search.all_files()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["secrecy"] = asdict(search) | {"base": None, "folders": {}}
    elif search.found:
        session.exitstatus = LEAKED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    told = getattr(node, "workeroutput", {}).get("secrecy")
    if told is None:  # it crashed, which pytest says
        return
    search = node.config.stash[SEARCH]
    search.found += told["found"]
    search.files += told["files"]
    search.size += told["size"]
    search.seconds = max(search.seconds, told["seconds"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    search = config.stash[SEARCH]
    looked = f"{search.files} files, {search.size / 1e6:.0f} MB, {search.seconds:.1f} s"
    if search.found:
        terminalreporter.section(f"secrets where they have no business ({looked})", red=True)
        for each in dict.fromkeys(search.found):
            terminalreporter.write_line(each)
    elif search.files:
        terminalreporter.write_line(f"(no secret was found in {looked})")

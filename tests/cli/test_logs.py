"""`cronmirror logs` without Supabase: this machine's own history answers."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from agent.app.runs import id_range
from tests.cli.conftest import Cronmirror

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_logs_shows_what_ran_here_by_job_id_or_beginning_of_an_id(cronmirror: Cronmirror, config: Path) -> None:
    cronmirror("exec", "hello", MY_TOKEN="sesame-open")
    cronmirror("exec", "broken", MY_TOKEN="sesame-open")
    broken, hello = json.loads(cronmirror("runs", "--json", MY_TOKEN="sesame-open").stdout)
    for text in ("hello", hello["run_id"], hello["run_id"][:13]):
        done = cronmirror("logs", text, MY_TOKEN="sesame-open")
        assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
        assert "from this machine's history" in done.stderr
    failed = cronmirror("logs", broken["run_id"], MY_TOKEN="sesame-open")
    assert (failed.returncode, failed.stdout) == (1, "why\n")
    nobody = cronmirror("logs", "00000000", MY_TOKEN="sesame-open")
    assert nobody.returncode == 4
    assert 'no run "00000000"' in nobody.stderr
    assert "cronmirror login --person" in nobody.stderr


def test_follow_and_one_document_for_scripts_exclude_each_other(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("request", "hello", "--follow", "--json", MY_TOKEN="sesame-open")
    assert done.returncode == 2
    assert "--follow" in done.stderr


@pytest.mark.parametrize("text", ["", "abc", "0000000g", "00000000x0000", "0" * 36, f"{UUID(int=0)}0"])
def test_what_cannot_begin_an_id_is_none(text: str) -> None:
    assert id_range(text) is None


def test_the_beginning_of_an_id_is_a_range_of_ids() -> None:
    first, last = id_range("12AB") or (None, None)
    assert str(first) == "12ab0000-0000-0000-0000-000000000000"
    assert str(last) == "12abffff-ffff-ffff-ffff-ffffffffffff"

"""The command line as a person meets it: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Cronmirror

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def _order(cronmirror: Cronmirror) -> None:
    """The folder of the commands exists before a test writes into it."""


def test_help_alone_is_enough_to_get_going(cronmirror: Cronmirror) -> None:
    done = cronmirror("--help")
    assert done.returncode == 0
    for word in ("demo", "check", "migrate", "login", "run", "install", "First steps", "Exit codes"):
        assert word in done.stdout


def test_a_command_nobody_knows_is_wrong_usage(cronmirror: Cronmirror) -> None:
    done = cronmirror("nope")
    assert done.returncode == 2
    assert "No such command 'nope'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_configuration_it_says_where_it_looked(cronmirror: Cronmirror) -> None:
    done = cronmirror("jobs")
    assert done.returncode == 2
    assert "work/config.yaml" in done.stderr
    assert ".config/cronmirror/config.yaml" in done.stderr
    assert "--config" in done.stderr


def test_check_accepts_a_good_file(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("check", MY_TOKEN="sesame-open")
    assert (done.returncode, done.stdout) == (0, "config.yaml is fine: project home, 5 jobs\n")
    assert "supabase" in done.stderr
    answer = json.loads(cronmirror("check", str(config), "--json", MY_TOKEN="sesame-open").stdout)
    assert answer["ok"] is True
    assert answer["jobs"] == 5


def test_check_shows_every_mistake_at_once_with_its_line(cronmirror: Cronmirror, config: Path) -> None:
    config.write_text("project: x\njobs:\n  a: {every: 15 minuts, run: [ls]}\n  b: {schedul: daily, run: [ls]}\n")
    done = cronmirror("check")
    assert done.returncode == 2
    assert 'config.yaml:3: jobs.a.every: "15 minuts" is not a duration; try 15m' in done.stderr
    assert "config.yaml:4: jobs.b.schedul: unknown key; did you mean `schedule`?" in done.stderr
    assert "2 problems" in done.stderr
    assert "Traceback" not in done.stderr
    answer = cronmirror("check", "--json")
    assert answer.returncode == 2
    assert [each["line"] for each in json.loads(answer.stdout)["problems"]] == [3, 4]


def test_a_missing_variable_is_named(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("check")
    assert done.returncode == 2
    assert "MY_TOKEN" in done.stderr
    assert "config.yaml:9" in done.stderr


def test_a_configuration_that_others_can_write_is_not_run(cronmirror: Cronmirror, config: Path) -> None:
    config.chmod(0o666)
    done = cronmirror("exec", "hello", MY_TOKEN="sesame-open")
    assert done.returncode == 2
    assert "chmod" in done.stderr
    assert done.stdout == ""


def test_jobs_lists_them_with_their_next_run(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("jobs", MY_TOKEN="sesame-open", COLUMNS="200")
    assert done.returncode == 0
    assert "nightly" in done.stdout
    assert "0 3 * * * Europe/Berlin" in done.stdout
    assert "in " in done.stdout
    rows = json.loads(cronmirror("jobs", "--json", MY_TOKEN="sesame-open").stdout)
    assert [row["job_id"] for row in rows] == ["hello", "broken", "nightly", "sized", "secret"]
    assert rows[2]["schedule_kind"] == "cron"
    assert rows[2]["next_run_at"] is not None
    assert rows[0]["next_run_at"] is None
    assert "sesame-open" not in json.dumps(rows)


def test_a_job_of_other_agents_is_shown_with_the_reason_and_runs_by_hand(cronmirror: Cronmirror, config: Path) -> None:
    config.write_text("project: x\njobs: {far: {run: [echo, near], every: 1h, runs_on: {tags: [gpu]}}}\n")
    assert "far is left to other agents: `agent.tags` has no gpu" in cronmirror("check").stdout
    assert json.loads(cronmirror("check", "--json").stdout)["left_to_others"] == {"far": ["gpu"]}
    assert "left to agents tagged gpu" in cronmirror("jobs", COLUMNS="200").stdout
    assert json.loads(cronmirror("jobs", "--json").stdout)[0]["lacking_tags"] == ["gpu"]
    assert cronmirror("exec", "far").stdout == "near\n"


def test_exec_runs_a_job_here_and_now_and_runs_remembers_it(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("exec", "hello", MY_TOKEN="sesame-open")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    failed = cronmirror("exec", "broken", MY_TOKEN="sesame-open")
    assert failed.returncode == 1
    assert failed.stderr.startswith("why\n")
    assert "3" in failed.stderr
    shown = cronmirror("runs", MY_TOKEN="sesame-open", COLUMNS="80").stdout
    head, broken, why, hello = shown.splitlines()
    rows = json.loads(cronmirror("runs", "--json", MY_TOKEN="sesame-open").stdout)
    assert [(row["job_id"], row["status"], row["exit_code"]) for row in rows] == [
        ("broken", "error", 3),
        ("hello", "ok", 0),
    ]
    assert head.split() == ["when", "job", "why", "run", "status", "took", "exit"]
    assert broken.split()[-6:-3] == ["exec", rows[0]["run_id"][:8], "error"], "nothing is cut off where it is narrow"
    assert (hello.split()[-1], why.strip()) == ("0", rows[0]["error"])
    only = json.loads(cronmirror("runs", "hello", "--json", MY_TOKEN="sesame-open").stdout)
    assert [row["job_id"] for row in only] == ["hello"]
    assert "hello" in cronmirror("runs", "hello", "--output", MY_TOKEN="sesame-open").stdout


def test_exec_checks_the_payload_and_hands_it_over(cronmirror: Cronmirror, config: Path) -> None:
    good = cronmirror("exec", "sized", "--payload", '{"width": 640}', MY_TOKEN="sesame-open")
    assert good.returncode == 0
    assert json.loads(good.stdout) == {"width": 640}
    bad = cronmirror("exec", "sized", "--payload", '{"width": 0}', MY_TOKEN="sesame-open")
    assert bad.returncode == 1
    assert "payload.width" in bad.stderr
    broken = cronmirror("exec", "sized", "--payload", "{width", MY_TOKEN="sesame-open")
    assert broken.returncode == 2
    assert "not JSON" in broken.stderr


def test_exec_of_an_unknown_job_names_the_known_ones(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("exec", "helo", MY_TOKEN="sesame-open")
    assert done.returncode == 2
    assert 'there is no job "helo"' in done.stderr
    assert "hello, broken" in done.stderr


def test_a_secret_in_the_output_is_not_shown(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("exec", "secret", MY_TOKEN="sesame-open")
    assert done.stdout == "token is ***\n"


def test_runs_says_that_nothing_has_run_yet(cronmirror: Cronmirror, config: Path) -> None:
    assert "nothing has run here yet" in cronmirror("runs", MY_TOKEN="sesame-open").stdout


def test_schema_prints_a_json_schema_and_the_reference_page(cronmirror: Cronmirror) -> None:
    assert json.loads(cronmirror("schema").stdout)["type"] == "object"
    assert "nightly" not in cronmirror("schema", "--markdown").stdout
    assert "`drain_timeout`" in cronmirror("schema", "--markdown").stdout


def test_version_can_be_read_by_a_script(cronmirror: Cronmirror) -> None:
    assert "cronmirror" in cronmirror("version").stdout
    assert json.loads(cronmirror("version", "--json").stdout)["supabase"].startswith("2.")


def test_migrate_prints_what_to_paste_and_wants_to_know_where_else(cronmirror: Cronmirror) -> None:
    printed = cronmirror("migrate", "--print")
    assert printed.returncode == 0
    assert "create table if not exists public.cron_mirror" in printed.stdout
    assert "drop function" in cronmirror("migrate", "--print", "--down").stdout
    lacking = cronmirror("migrate")
    assert lacking.returncode == 2
    assert "--db-url" in lacking.stderr
    nowhere = cronmirror("migrate", "--db-url", "postgresql://nobody@127.0.0.1:1/none")
    assert nowhere.returncode == 3
    assert "127.0.0.1" in nowhere.stderr
    assert "Traceback" not in nowhere.stderr


def test_request_and_login_say_what_is_missing(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("request", "hello", MY_TOKEN="sesame-open")
    assert done.returncode == 2
    assert "supabase" in done.stderr
    config.write_text(
        "project: home\nsupabase: {url: 'http://127.0.0.1:1', key: sb_publishable_x}\njobs: {a: {run: [ls]}}\n"
    )
    unsigned = cronmirror("request", "a")
    assert unsigned.returncode == 4
    assert "cronmirror login --person" in unsigned.stderr
    unreachable = cronmirror("login", "--email", "me@example.com", stdin="secret\n")
    assert unreachable.returncode == 3
    assert "127.0.0.1:1" in unreachable.stderr


def test_debug_anywhere_on_the_line_shows_the_traceback(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("exec", "helo", "--debug", MY_TOKEN="sesame-open")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_install_shows_what_it_would_do(cronmirror: Cronmirror, config: Path, tmp_path: Path) -> None:
    config.write_text(CONFIG_FOR_SERVICE)
    env_file = config.parent / "secrets.env"
    env_file.write_text("KEY=sb_publishable_x\n")
    env_file.chmod(0o600)
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    (fake / "systemctl").chmod(0o755)
    path = f"{fake}:{os.environ['PATH']}"
    done = cronmirror("install", "--dry-run", PATH=path)
    assert done.returncode == 0, done.stderr
    assert f"--config {config}" in done.stdout
    assert "would run: systemctl --user daemon-reload" in done.stderr
    assert not (tmp_path / ".config/systemd").exists()
    assert "would stop" in cronmirror("uninstall", "--dry-run", PATH=path).stderr
    assert "there was no service" in cronmirror("uninstall", PATH=path).stdout
    status = cronmirror("status", PATH=path)
    assert (status.returncode, "not installed" in status.stdout) == (1, True)
    assert json.loads(cronmirror("status", "--json", PATH=path).stdout)["installed"] is False
    assert "would ask systemd" in cronmirror("status", "--dry-run", PATH=path).stderr


def test_install_refuses_what_works_in_this_shell_alone(cronmirror: Cronmirror, config: Path) -> None:
    config.write_text(CONFIG_FOR_SERVICE.replace("env_file: secrets.env\n", ""))
    done = cronmirror("install", "--dry-run", KEY="sb_publishable_x")
    assert done.returncode == 5
    assert "not as a service" in done.stderr
    assert "KEY" in done.stderr
    assert "env_file" in done.stderr


CONFIG_FOR_SERVICE = """\
project: home
env_file: secrets.env
supabase: {url: "https://home.example.com", key: "${KEY}"}
jobs: {a: {run: [ls]}}
"""

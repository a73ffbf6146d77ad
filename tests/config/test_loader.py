"""The whole file: what becomes of every key, and what is said about every fault."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.adapters.files import bundled
from agent.config.build import Surroundings
from agent.config.config import SupabaseSettings, url_fault
from agent.config.loader import load
from agent.errors import ConfigError
from agent.model import CatchUp, HttpCall, Overlap, Placement, PythonCall, Retry, RunLimits, ScheduleKind, WhenOffline
from tests.support.config_texts import NOW, FakeLookup, config_of, job_of, job_problems, problems_of

JWT = "x.{}.y"


def cases(section: str) -> list[tuple[str, str]]:
    """(what is written, what is said) of one section of faults.txt."""
    text = Path(__file__).with_name("faults.txt").read_text(encoding="utf-8")
    lines = text.partition(f"[{section}]\n")[2].partition("\n\n")[0].splitlines()
    return [(written, said.removeprefix("  → ")) for written, said in zip(lines[::2], lines[1::2], strict=True)]


def test_a_file_says_everything_it_can():
    config = config_of(
        """
        project: home-lab
        agent: {id: mac-mini, name: "Mac mini, cellar"}
        supabase: {url: https://abc.supabase.co/, key: "${KEY}", email: a@example.com, password: "${PASSWORD}"}
        sync: {mirror_every: 30s, poll_every: 1h}
        limits: {concurrency: 8, output: 1KiB}
        drain_timeout: 5s
        accept: [open_access]
        jobs:
          a: {every: 20s, run: [echo, hi]}
        """,
        KEY="publishable",
        PASSWORD="hunter22",
    )
    assert (config.project, config.agent_id, config.agent_name) == ("home-lab", "mac-mini", "Mac mini, cellar")
    assert config.supabase == SupabaseSettings(
        url="https://abc.supabase.co", key="publishable", email="a@example.com", password="hunter22"
    )
    assert (config.sync.mirror_every_s, config.sync.poll_every_s) == (30, 3600)
    assert config.limits.concurrency == 8
    assert config.drain_timeout_s == 5
    assert config.accept == {"open_access"}
    assert config.job("a").output_limit == 1024
    assert config.job("b") is None
    assert config.secrets == {"publishable", "hunter22"}
    assert config.withheld_env == {"KEY", "PASSWORD"}
    assert config.warnings == ()
    assert config.missing_for_run() == ()
    assert "hunter22" not in repr(config.supabase)


def test_a_small_file_gets_defaults():
    config = config_of("project: p\njobs: {j: {run: [echo]}}")
    job = config.jobs[0]
    assert (config.supabase, config.agent_id, config.drain_timeout_s) == (None, None, 30)
    assert (job.name, job.schedule, job.enabled, job.line) == ("j", None, True, 2)
    assert (job.timeout_s, job.grace_s, job.catch_up_window_s) == (600, 10, 86_400)
    assert (job.overlap, job.catch_up, job.retry) == (Overlap.SKIP, CatchUp.LAST, Retry())
    assert (job.command.workdir, job.output_limit, job.payload_schema) == (None, 65_536, None)


def test_defaults_hold_for_jobs_that_do_not_say_otherwise():
    first, second = config_of(
        """
        project: p
        limits: {output: 2KiB}
        defaults:
          timezone: Asia/Tokyo
          timeout: 1m
          grace: 1s
          overlap: queue
          catch_up: all
          catch_up_window: 1h
          retry: {max_attempts: 2, base: 1s}
          dst: {gap: skip}
          env: {A: "1", B: "2"}
          workdir: ~/x
        jobs:
          first: {run: [a], schedule: "@daily"}
          second:
            run: [a]
            schedule: "@daily"
            timezone: UTC
            timeout: 2m
            grace: 0s
            overlap: allow
            catch_up: none
            catch_up_window: 0s
            retry: {max_attempts: 5, on: [lost], cap: 2m}
            dst: {fold: twice}
            env: {B: "3"}
            workdir: /y/./z
            limits: {output: 4KiB}
        """
    ).jobs
    assert (first.timeout_s, first.grace_s, first.catch_up_window_s, first.output_limit) == (60, 1, 3600, 2048)
    assert (first.overlap, first.catch_up) == (Overlap.QUEUE, CatchUp.ALL)
    assert first.retry == Retry(max_attempts=2, base_s=1)
    assert (first.schedule.timezone, first.schedule.dst_gap, first.schedule.dst_fold) == ("Asia/Tokyo", "skip", "once")
    assert (first.command.env, first.command.workdir) == ({"A": "1", "B": "2"}, "/home/me/x")
    assert (second.timeout_s, second.grace_s, second.catch_up_window_s, second.output_limit) == (120, 0, 0, 4096)
    assert (second.overlap, second.catch_up) == (Overlap.ALLOW, CatchUp.NONE)
    assert second.retry == Retry(max_attempts=5, on=frozenset({"lost"}), base_s=1, cap_s=120)
    assert (second.schedule.timezone, second.schedule.dst_gap, second.schedule.dst_fold) == ("UTC", "skip", "twice")
    assert (second.command.env, second.command.workdir) == ({"A": "1", "B": "3"}, "/y/z")


def test_a_fleet_is_described_by_tags_placement_and_limits():
    config = config_of(
        """
        project: p
        agent: {tags: [gpu, "${X}"]}
        limits: {tags: {media: 1}}
        defaults: {placement: any, jitter: 5m, retry: {exit_codes: [75]}}
        jobs:
          a: {run: [a], when_offline: run, runs_on: {tags: [gpu]}, overlap: allow, concurrency: 2, tags: [media]}
          b: {run: [a], placement: mine, jitter: 0s, retry: {exit_codes: [], on: [timeout]}}
        """
    )
    a, b = config.jobs
    assert (config.agent_tags, config.limits.tags, config.warnings) == ({"gpu", "${X}"}, {"media": 1}, ())
    assert (a.placement, a.when_offline, a.runs_on) == (Placement.ANY, WhenOffline.RUN, {"gpu"})
    assert (a.jitter_s, a.concurrency, a.retry.exit_codes) == (300, 2, {75})
    assert (b.placement, b.when_offline, b.runs_on) == (Placement.MINE, WhenOffline.MISS, frozenset())
    assert (b.jitter_s, b.concurrency, b.retry.exit_codes) == (0, None, frozenset())


def test_limits_hold_key_by_key():
    text = "project: p\ndefaults: {limits: {memory: 1GiB, nice: 5, output: 2KiB}}\njobs:\n"
    a, b = config_of(f"{text}  a: {{run: [a], limits: {{cpu_time: 5m, nice: 0}}}}\n  b: {{run: [b]}}").jobs
    assert (a.limits, a.output_limit) == (RunLimits(memory_bytes=2**30, cpu_time_s=300, nice=0), 2048)
    assert b.limits == RunLimits(memory_bytes=2**30, nice=5)


def test_what_the_platform_cannot_limit_is_refused_with_its_line():
    text = "project: p\ndefaults:\n  limits: {memory: 1GiB}\njobs:\n  j: {run: [a], limits: {memory: 1GiB, nice: 1}}"
    where = Surroundings(file="config.yaml", now=NOW, home="/home/me", timezone="UTC", memory_limits=False)
    with pytest.raises(ConfigError) as caught:
        load(text, lookup=FakeLookup(), around=where)
    said = "limits.memory: cannot be limited on macOS, which ignores it; drop this key"
    assert [str(each) for each in caught.value.problems] == [
        f"config.yaml:3: defaults.{said}",
        f"config.yaml:5: jobs.j.{said}",
    ]


def test_an_http_job_is_a_request_with_its_secrets_known():
    config = config_of(
        """
        project: p
        defaults: {workdir: ~/x, retry: {exit_codes: [75]}}
        jobs:
          a:
            http:
              url: https://me:p%40ss@example.com/hook?key=${KEY}
              method: put
              headers: {X-Api-Token: literal-token, Authorization: "Bearer ${KEY}", X-Count: 5, Auth: "Bearer ${N:-}"}
              json: {dry_run: false, count: 5, text: "5", all: ["${KEY}", 1.5, ~]}
              expect: [200, "201-204", 3xx]
              follow_redirects: yes
          b: {http: {url: https://example.com}}
          c: {http: {url: https://example.com, body: "ping ${KEY}"}}
          d: {http: {url: https://example.com, headers: {Content-Type: x/y}, json: [1]}}
          e: {http: {url: https://example.com}, payload: {type: object}}
        """,
        KEY="k-from-outside",
    )
    a, b, c, d, e = (job.command.http for job in config.jobs)
    assert (a.method, a.url, a.follow_redirects) == (
        "PUT",
        "https://me:p%40ss@example.com/hook?key=k-from-outside",
        True,
    )
    assert a.expect == ((200, 200), (201, 204), (300, 399))
    assert a.headers == {
        "X-Api-Token": "literal-token",
        "Authorization": "Bearer k-from-outside",
        "X-Count": "5",
        "Auth": "Bearer",
        "Content-Type": "application/json",
    }
    assert json.loads(a.body) == {"dry_run": False, "count": 5, "text": "5", "all": ["k-from-outside", 1.5, None]}
    assert b == HttpCall(url="https://example.com")
    assert (c.method, c.body, c.headers) == ("POST", b"ping k-from-outside", {})
    assert (d.body, d.headers) == (b"[1]", {"Content-Type": "x/y"})
    assert (e.method, e.body) == ("POST", None)
    assert config.secrets == {
        "literal-token",
        "k-from-outside",
        "Bearer k-from-outside",
        "p%40ss",
        "p@ss",
    }
    assert config.jobs[0].instructions == "PUT https://me:***@example.com/hook?key=${KEY}"
    assert config.jobs[4].instructions == "POST https://example.com"


def test_a_python_job_is_a_function_with_typed_arguments():
    config = config_of(
        """
        project: p
        jobs:
          a: {python: reports.daily:Job.send, workdir: ~/apps}
          b:
            python:
              call: m:f
              args: [1, "1", yes, "${TOKEN}", $$x]
              kwargs: {dry_run: true, key: "${TOKEN}"}
              interpreter: ~/venv/bin/python
        """,
        TOKEN="t-from-outside",
    )
    a, b = (job.command.python for job in config.jobs)
    assert a == PythonCall(module="reports.daily", function="Job.send")
    assert b.args == (1, "1", "yes", "t-from-outside", "$x")
    assert (b.kwargs, b.interpreter) == ({"dry_run": True, "key": "t-from-outside"}, "/home/me/venv/bin/python")
    assert [job.instructions for job in config.jobs] == ["reports.daily:Job.send", "m:f"]
    assert config.secrets == {"t-from-outside"}


def test_what_cannot_be_meant_is_a_warning():
    text = "project: p\nlimits: {tags: {medai: 1}}\njobs: {j: {run: [a], every: 20s}}"
    assert [str(each) for each in config_of(text).warnings] == [
        "config.yaml:2: limits.tags.medai: limits nothing: no job has this tag"
    ]


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("jitter: 20s, every: 20s", "jobs.j.jitter: is not shorter than the time between two slots; write a shorter"),
        ('jitter: 11m, schedule: "0,50 * * * *"', "jobs.j.jitter: is not shorter"),
        ('jitter: 1h, schedule: "@hourly"', "jobs.j.jitter: is not shorter"),
        ("every: 20s", "jobs.j.every: has a jitter in `defaults` that is not shorter than the time between two slots"),
        ("jitter: 19s, every: 20s", None),
        ('jitter: 59m, schedule: "@hourly"', None),
        ('jitter: 1d, schedule: "@startup"', None),
        ('jitter: 1d, schedule: "0 0 29 2 *"', None),
        ("jitter: 1d, at: 2030-01-01T00:00", None),
        ("jitter: 0s, every: 20s", None),
        ('jitter: 1d, schedule: "nonsense"', "jobs.j.schedule: "),
        ("jitter: 1d, every: often", "jobs.j.every: "),
    ],
)
def test_a_jitter_is_shorter_than_the_time_between_two_slots(written, at):
    text = f"project: p\ndefaults: {{jitter: 1m}}\njobs: {{j: {{run: [a], {written}}}}}"
    if at is None:
        config_of(text)
    else:
        (found,) = problems_of(text)
        assert at in found


@pytest.mark.parametrize(
    ("written", "kind", "expr"),
    [
        ('schedule: "0  3 * * *"', ScheduleKind.CRON, "0 3 * * *"),
        ('schedule: "@Daily"', ScheduleKind.CRON, "@daily"),
        ('schedule: "@startup"', ScheduleKind.STARTUP, "@startup"),
        ("every: 15m", ScheduleKind.EVERY, "900000"),
        ("at: 2026-12-24T18:00", ScheduleKind.AT, "2026-12-24T17:00:00+00:00"),
        ("at: 2026-12-24 18:00:30", ScheduleKind.AT, "2026-12-24T17:00:30+00:00"),
        ("at: 2026-12-24T18:00Z", ScheduleKind.AT, "2026-12-24T18:00:00+00:00"),
        ("at: 2026-12-24T18:00-05:00", ScheduleKind.AT, "2026-12-24T23:00:00+00:00"),
    ],
)
def test_schedules_are_stored_as_the_mirror_shows_them(written, kind, expr):
    schedule = job_of(f"{{run: [a], {written}}}").schedule
    assert (schedule.kind, schedule.expr, schedule.timezone) == (kind, expr, "Europe/Paris")


def test_at_and_every_are_values_too():
    assert job_of("{run: [a], at: 2026-12-24T18:00}").schedule.at == datetime(2026, 12, 24, 17, tzinfo=UTC)
    assert job_of("{run: [a], every: 1h30m}").schedule.every_s == 5400


def test_a_past_instant_is_a_warning():
    warnings = config_of("project: p\njobs: {j: {run: [a], at: 2020-01-01T00:00}}").warnings
    assert [str(each) for each in warnings] == [
        "config.yaml:2: jobs.j.at: 2020-01-01 00:00 is in the past: it will not run unless it is caught up"
    ]


def test_an_instant_that_does_not_exist_is_a_warning():
    warnings = config_of("project: p\njobs: {j: {run: [a], at: 2026-03-29T02:30}}").warnings
    assert "2026-03-29 02:30 does not exist in Europe/Paris; it is taken as 03:30" in str(warnings[0])


def test_scalars_are_taken_as_written():
    job = job_of("{run: [sleep, 1.0, yes, 007], name: 2024, enabled: no, env: {V: 1.10, B: true, P: 8080, E: ''}}")
    assert job.command.argv == ("sleep", "1.0", "yes", "007")
    assert job.command.env == {"V": "1.10", "B": "true", "P": "8080", "E": ""}
    assert (job.name, job.enabled) == ("2024", False)


def test_a_key_with_nothing_behind_it_counts_as_not_written():
    job = config_of(
        "project: p\nlimits:\ndefaults:\n  timeout:\njobs:\n  j:\n    run: [a]\n    env:\n    tags: ~\n"
    ).jobs[0]
    assert (job.timeout_s, job.command.env, job.tags) == (600, {}, ())


def test_no_jobs_is_a_warning():
    assert "there are no jobs yet" in str(config_of("project: p\njobs:\n").warnings[0])


# ── faults ───────────────────────────────────────────────────────────────────


def missing(name: str) -> str:
    advice = f"put `{name}=…` into a file named by `env_file:`, or set it in the agent's environment"
    return f"${{{name}}} is not set: {advice}, or write ${{{name}:-default}}"


def test_every_fault_is_told_at_once_in_file_order():
    not_a_type = "'objekt' is not valid under any of the given schemas"
    problems = problems_of(
        """\
        projekt: x
        env_file: {a: b}
        limits: {concurrency: lots, output: 64}
        defaults:
          timezone: Europe/Berlim
        jobs:
          sync-stats:
            every: 15 minuts
            shell: x
          sync-stats:
            run: [x]
          backup:
            schedule: 0 0 30 2 *
            run: [restic, "${NOPE}"]
            payload: {type: objekt}
        """
    )
    assert problems == [
        "config.yaml:1: project: is missing; write e.g. `project: home-lab`",
        "config.yaml:1: projekt: unknown key; did you mean `project`?",
        "config.yaml:2: env_file: expects a text or a list of texts",
        'config.yaml:3: limits.concurrency: "lots" is not a whole number',
        'config.yaml:3: limits.output: "64" is not a size; try 64KiB',
        'config.yaml:5: defaults.timezone: "Europe/Berlim" is not a time zone; did you mean Europe/Berlin?',
        'config.yaml:8: jobs.sync-stats.every: "15 minuts" is not a duration; try 15m',
        "config.yaml:10: jobs.sync-stats: is written twice, first in line 7; keep one of them",
        'config.yaml:13: jobs.backup.schedule: "0 0 30 2 *" never fires within 5 years; is there such a day?',
        "config.yaml:14: jobs.backup.run[1]: " + missing("NOPE"),
        "config.yaml:15: jobs.backup.payload.type: is not valid JSON Schema: " + not_a_type,
    ]


@pytest.mark.parametrize(("body", "problem"), cases("job"))
def test_a_fault_of_a_job_is_told_once_with_what_to_do(body, problem):
    assert job_problems(body) == [problem]


@pytest.mark.parametrize(("text", "problem"), cases("file"))
def test_a_fault_elsewhere_is_told_once_with_what_to_do(text, problem):
    assert problems_of(f"{text}\nproject: p") == [f"config.yaml:1: {problem}"]


def test_values_that_no_program_can_be_given_are_refused():
    assert "contains a NUL" in job_problems('{run: [a, "x\\0y"]}')[0]
    assert "the value of NUL contains a NUL" in job_problems('{run: [a, "${NUL}"]}', NUL="a\0b")[0]


def test_long_and_broken_lines_are_refused_where_a_line_is_expected():
    assert job_problems(f"{{run: [a], name: {'x' * 201}}}") == [
        f'name: "{"x" * 60}…" is longer than 200 characters',
    ]
    assert "longer than 8192 characters" in job_problems(f"{{run: [a], description: {'x' * 8193}}}")[0]
    assert "contains a line break" in job_problems('{run: [a], tags: ["a\\nb"]}')[0]


def test_a_file_that_is_a_list_or_a_word_is_refused():
    assert problems_of("- a\n- b") == ["config.yaml:1: expects keys such as `project:` and `jobs:`"]
    assert problems_of("hello") == ["config.yaml:1: expects keys such as `project:` and `jobs:`"]


def test_messages_never_show_what_was_filled_in():
    problems = problems_of(
        """
        project: p
        supabase: {url: "https://u:${TOKEN}@a.co", key: ["${TOKEN}"], email: ["${TOKEN}"]}
        sync: {poll_every: "${TOKEN}"}
        jobs:
          j:
            run: curl ${TOKEN}
            workdir: ${TOKEN}
            timezone: ${TOKEN}
            overlap: ${TOKEN}
            at: ${TOKEN}
            enabled: ${TOKEN}
            env: {"${TOKEN}": [x]}
        """,
        TOKEN="s3cret-value",
    )
    assert len(problems) > 7
    assert "s3cret-value" not in "\n".join(problems)


def test_a_url_from_outside_is_the_environments_affair_until_run():
    config = config_of('project: p\nsupabase: {url: "${URL}", key: k}\njobs: {j: {run: [a]}}', URL="x")
    assert "is not an http(s) URL" in str(config.warnings[0])
    assert [problem.path for problem in config.missing_for_run()] == ["supabase.url"]


@pytest.mark.parametrize(
    "url", ["https://[x", "https://a:b", "ftp://a", "https://", "https://u:p@a.co", "https://a.co/?x"]
)
def test_odd_urls_are_refused(url):
    assert url_fault(url)


def test_run_says_what_it_misses():
    assert "is missing" in str(config_of("project: p").missing_for_run()[0])
    without_key = config_of("project: p\nsupabase: {url: https://a.co}")
    assert [problem.path for problem in without_key.missing_for_run()] == ["supabase.key"]


def _jwt(claims: object) -> str:
    return JWT.format(base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("="))


@pytest.mark.parametrize(
    ("supabase", "warned"),
    [
        ({"url": "http://192.168.1.5:8000", "key": "k"}, "is not https"),
        ({"url": "http://127.0.0.1:8000", "key": "k"}, None),
        ({"url": "https://a.co", "key": "sb_secret_abc"}, "is a secret (service_role) key"),
        ({"url": "https://a.co", "key": _jwt({"role": "service_role"})}, "is a secret (service_role) key"),
        ({"url": "https://a.co", "key": _jwt({"role": "anon"})}, None),
        ({"url": "https://a.co", "key": _jwt([1])}, None),
        ({"url": "https://a.co", "key": "a.b.c"}, None),
    ],
)
def test_dangerous_settings_are_warned_about(supabase, warned):
    warnings = config_of(f"project: p\nsupabase: {json.dumps(supabase)}\njobs: {{j: {{run: [a]}}}}").warnings
    assert [warned in each.message for each in warnings] == ([True] if warned else [])


@pytest.mark.parametrize("value", [None, "x"])
def test_the_example_is_accepted_with_its_variables_and_without(value):
    text = bundled("config.example.yaml").read_text()
    names = ("SUPABASE_PUBLISHABLE_KEY", "RESTIC_PASSWORD", "STATS_KEY", "HOOK_TOKEN")
    config = config_of(text, **(dict.fromkeys(names, value) if value else {}))
    assert config.warnings == ()
    assert config.missing_for_run() == ()
    assert {job.schedule.kind if job.schedule else None for job in config.jobs} == {None, *ScheduleKind}
    assert all(f"${{{name}:-" in text for name in names)

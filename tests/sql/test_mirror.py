"""The mirror: who owns a row, what is written, and what leaves with its agent."""

from __future__ import annotations

import psycopg
import pytest

from tests.sql.stage import PROJECT, Agent, Stage, a_job, a_report


def test_a_sync_writes_every_column_of_a_job(stage: Stage) -> None:
    agent = stage.agent()
    agent.hello()
    job = a_job(
        "backup",
        name="Nightly backup",
        schedule_kind="cron",
        schedule_expr="0 3 * * *",
        tz="Europe/Berlin",
        enabled=False,
        next_run_at="2026-03-02T02:00:00+00:00",
        instructions="restic backup /data",
        source="config.yaml:14",
        description="keeps us safe",
        tags=["disk", "night"],
        accepts={"type": "object"},
        timeout_s=600.5,
        overlap="skip",
        retry={"max_attempts": 3, "on": ["timeout"], "base_s": 30, "cap_s": 3600},
        placement="any",
    )

    answer = agent.sync(job)

    assert {key: answer[key] for key in ("upserted", "removed", "refused", "ignored")} == {
        "upserted": 1,
        "removed": 0,
        "refused": [],
        "ignored": False,
    }
    stored = stage.owner.one("select to_jsonb(m) from cron_mirror m")
    assert {key: stored[key] for key in job} == job
    assert (stored["project_id"], stored["agent_ids"]) == (PROJECT, ["mac-mini"])


def test_an_unchanged_job_is_not_written(stage: Stage) -> None:
    agent = stage.agent().ready("backup", tags=["a"], retry={"max_attempts": 2})
    version = stage.owner.one("select xmin::text from cron_mirror")

    assert agent.sync(a_job("backup", tags=["a"], retry={"max_attempts": 2}))["upserted"] == 0
    assert stage.owner.one("select xmin::text from cron_mirror") == version
    assert agent.sync(a_job("backup", tags=["b"], retry={"max_attempts": 2}))["upserted"] == 1


def test_an_older_revision_is_ignored_until_the_next_hello(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    agent.sync(a_job("backup", name="new"), rev=7)

    late = agent.sync(a_job("backup", name="old"), rev=7)

    assert (late["ignored"], late["upserted"]) == (True, 0)
    assert stage.job("backup")["name"] == "new"
    agent.hello()
    assert agent.sync(a_job("backup", name="newer"), rev=1)["ignored"] is False


def test_jobs_that_are_gone_are_removed_and_null_removes_nothing(stage: Stage) -> None:
    agent = stage.agent().ready("backup", "report")

    assert agent.sync()["removed"] == 0
    assert agent.sync(job_ids=["backup"])["removed"] == 1
    assert [row["job_id"] for row in stage.owner.sql("select job_id from cron_mirror")] == ["backup"]


def test_a_job_of_another_agent_is_refused_and_says_whose_it_is(stage: Stage) -> None:
    stage.agent("one").ready("backup")
    two = stage.agent("two")
    two.hello()

    answer = two.sync(a_job("backup", name="mine now", placement="any"), a_job("own"))

    assert (answer["refused"], answer["upserted"]) == ([{"job_id": "backup", "agent_id": "one"}], 1)
    assert (stage.job("backup")["name"], stage.job("backup")["agent_ids"]) == ("Backup", ["one"])


def test_agents_share_a_job_only_where_both_say_any_and_the_row_goes_with_the_last(stage: Stage) -> None:
    one = stage.agent("one").ready("backup", placement="any")
    two = stage.agent("two").ready("backup", placement="any")
    assert stage.job("backup")["agent_ids"] == ["one", "two"]

    assert one.sync(job_ids=[])["removed"] == 1
    assert stage.job("backup")["agent_ids"] == ["two"]
    assert two.sync(job_ids=[])["removed"] == 1
    assert stage.owner.one("select count(*) from cron_mirror") == 0


def test_an_agent_that_stops_sharing_leaves_the_row_to_the_others(stage: Stage) -> None:
    one = stage.agent("one").ready("backup", placement="any")
    stage.agent("two").ready("backup", placement="any")

    assert one.sync(a_job("backup", placement="mine"))["refused"] == [{"job_id": "backup", "agent_id": "two"}]
    assert stage.job("backup")["agent_ids"] == ["two"]


def test_a_row_without_an_owner_is_adopted_and_others_are_left_alone(stage: Stage) -> None:
    stage.owner.sql(
        "insert into cron_mirror (project_id, job_id, name) values (%s, 'backup', 'theirs'), (%s, 'orphan', 'theirs')",
        PROJECT,
        PROJECT,
    )
    agent = stage.agent()
    agent.hello()
    agent.sync(a_job("backup", name="ours"), job_ids=["backup"])

    assert (stage.job("backup")["name"], stage.job("backup")["agent_ids"]) == ("ours", ["mac-mini"])
    assert (stage.job("orphan")["name"], stage.job("orphan")["agent_ids"]) == ("theirs", [])


def test_a_new_row_takes_its_last_run_from_history(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    agent.report(
        a_report(started_at="2026-03-01T00:00:00+00:00"),
        a_report(status="timeout", started_at="2026-03-02T00:00:00+00:00", duration_ms=7),
        a_report(status="skipped", started_at=None),
    )
    agent.sync(job_ids=[])
    agent.sync(a_job("backup"), a_job("fresh"))

    job = stage.job("backup")
    assert (job["last_status"], job["last_duration_ms"], job["last_run_at"].day) == ("error", 7, 2)
    assert (stage.job("fresh")["last_status"], stage.job("fresh")["last_run_at"]) == (None, None)


def test_the_ten_stalest_rows_are_touched_so_that_staleness_banners_stay_quiet(stage: Stage) -> None:
    agent = stage.agent().ready(*[f"job-{number}" for number in range(12)])
    assert agent.sync()["touched"] == 0
    stage.owner.sql("update cron_mirror set updated_at = now() - interval '6 minutes'")

    assert [agent.sync()["touched"] for _ in range(3)] == [10, 2, 0]


def test_last_sync_is_shown_without_waking_everybody_each_time(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    first = stage.owner.one("select last_sync_at from cron_agents")
    assert first is not None

    agent.sync()
    assert stage.owner.one("select last_sync_at from cron_agents") == first
    agent.sync(a_job("other"))
    assert stage.owner.one("select last_sync_at from cron_agents") > first


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"job_id": ""}, "job_id"),
        ({"placement": "everywhere"}, "placement"),
        ({"retry": {"max_attempts": "many"}}, "retry"),
        ({"retry": {"max_attempts": 0}}, "retry"),
        ({"retry": []}, "retry"),
        ({"next_run_at": "tomorrowish"}, "backup"),
        ({"timeout_s": "long"}, "backup"),
    ],
)
def test_a_job_that_cannot_be_stored_is_named_and_nothing_is_changed(stage: Stage, job: dict, told: str) -> None:
    agent = stage.agent().ready("other")

    with pytest.raises(psycopg.errors.InvalidParameterValue, match=told):
        agent.sync(a_job("other", name="changed"), a_job("backup") | job)
    assert stage.job("other")["name"] == "Other"


def test_ten_thousand_jobs_fit_into_the_time_a_hosted_statement_has(stage: Stage) -> None:
    agent = stage.agent()
    agent.hello()
    agent.caller.sql("set statement_timeout = '8s'")
    jobs = [a_job(f"job-{number}", instructions="x" * 200) for number in range(10_000)]

    assert agent.sync(*jobs)["upserted"] == 10_000
    assert agent.sync(*jobs)["upserted"] == 0
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="10,000"):
        agent.sync(*jobs, a_job("one-too-many"))


def test_a_project_sees_nothing_of_anothers_jobs(stage: Stage) -> None:
    stage.agent("mac-mini").ready("backup")
    elsewhere = Agent(stage.member("agent", "elsewhere", agent="mac-mini"), project="elsewhere").ready(
        "backup", name="E"
    )

    elsewhere.sync(job_ids=[])

    assert stage.job("backup")["name"] == "Backup"

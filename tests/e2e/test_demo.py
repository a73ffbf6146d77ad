"""`cronmirror demo` and its page: a link that opens it signed in, a build that goes on beside it and may fail."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from agent.control.page import Page
from tests.support.demo import running_demo
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LINK = re.compile(r"http://127\.0\.0\.1:\d+/open/\S+")


async def test_it_prints_a_link_that_opens_the_page_as_its_operator_and_goes_on_without_a_build(tmp_path: Path) -> None:
    flag = tmp_path / "go"
    build = f"sh -c 'until [ -e {flag} ]; do sleep 0.01; done; echo no packages to be had >&2; exit 1'"
    async with running_demo(tmp_path / "demo", "--build-page", build) as demo:
        said = ("request slow --follow", "logs slow", "status", "pause", "press Run", "is being built")
        await wait_until(lambda: all(words in demo.said for words in said))
        (link,) = LINK.findall(demo.said)
        flag.touch()
        await wait_until(lambda: "no packages to be had" in demo.said)
        assert "demo/page.log" in demo.said
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{demo.port}") as http:
            config = (await http.get("/config.json")).json()
            assert (config["project"], config["local"]) == ("demo", True)
            opened = await http.get(link)
            if not Page().built:
                assert (opened.status_code, "make page" in opened.text) == (200, True)
                return
            tokens = parse_qs(urlsplit(opened.headers["location"]).fragment.removeprefix("/signin?"))
            headers = {"apikey": config["key"], "authorization": f"Bearer {tokens['access_token'][0]}"}
            jobs = (await http.get("/rest/v1/cron_mirror?select=job_id", headers=headers)).json()
            assert {"job_id": "hello"} in jobs


async def test_it_opens_no_browser_unless_asked_to(tmp_path: Path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o700)
    async with running_demo(tmp_path / "demo", "--build-page", "true", "--open", BROWSER=f"{browser} %s") as demo:
        if Page().built:
            await wait_until(opened.exists)
            link = opened.read_text().strip()
            assert LINK.fullmatch(link)
            assert link not in demo.said  # who sees it on the command line of a browser must not be able to use it too
            async with httpx.AsyncClient() as http:
                assert [(await http.get(link)).status_code for _ in range(2)] == [303, 404]
    opened.unlink(missing_ok=True)
    async with running_demo(tmp_path / "demo", BROWSER=f"{browser} %s") as demo:
        await wait_until(lambda: LINK.search(demo.said))
    assert not opened.exists()

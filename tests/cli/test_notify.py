"""`cronmirror notify test`, with a real webhook and a real mail server."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.support.http_server import plain, serving
from tests.support.smtp import smtp_server

ROOT = Path(__file__).parents[2]


async def notify_test(folder: Path, channels: str, *names: str, **variables: str) -> tuple[int, str, str]:
    config = folder / "config.yaml"
    config.write_text(f"project: p\njobs: {{}}\nnotify: {{channels: {channels}}}\n")
    config.chmod(0o600)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "agent", "notify", "test", *names, "--config", str(config)),
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return process.returncode or 0, said.decode(), complained.decode()


async def test_every_channel_is_tried_and_one_that_fails_says_why_without_its_address(tmp_path: Path) -> None:
    async with smtp_server() as mailbox, serving(plain(b"", status="403 Forbidden")) as hook:
        url = f"json://{hook.url.removeprefix('http://')}/s3cret-path"
        code, said, complained = await notify_test(
            tmp_path, f"{{mail: '{mailbox.url()}', hook: '${{HOOK}}'}}", HOOK=url
        )
    assert code == 1
    assert said == "mail: sent\n"
    assert complained.startswith("hook: not sent: ")
    assert "403" in complained
    assert "s3cret" not in complained
    assert str(mailbox.mails[0]["subject"]).startswith("A test of Cronmirror")


async def test_one_channel_by_name_and_a_name_that_is_none(tmp_path: Path) -> None:
    async with serving(plain(b"")) as hook:
        address = hook.url.removeprefix("http://")
        channels = f"{{a: 'json://{address}/a', b: 'json://{address}/b'}}"
        assert (await notify_test(tmp_path, channels, "b"))[:2] == (0, "b: sent\n")
        code, _, complained = await notify_test(tmp_path, channels, "c")
    assert [asked.path for asked in hook.asked] == ["/b"]
    assert code == 2
    assert 'there is no channel "c"; there are: a, b' in " ".join(complained.split())


async def test_without_channels_it_says_how_to_write_one(tmp_path: Path) -> None:
    code, _, complained = await notify_test(tmp_path, "{}")
    assert code == 2
    assert "has no channels; write e.g." in complained

"""A backup: one zip file with the database (`pg_dump`), its roles, the keys and the settings. A secret as a whole.

Made while everything goes on: the dump is one snapshot. The dump inside is PostgreSQL's custom format, so that
`pg_restore` reads it too, on any server from the same major version on.
"""

from __future__ import annotations

import asyncio
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Self

from agent.errors import StackError
from agent.localstack.binaries import Binaries, locate
from agent.localstack.configured import Setting, read_settings
from agent.localstack.home import Home
from agent.localstack.programs import Programs

FORMAT = 1
DUMP, ROLES, KEYS, ABOUT = "database.dump", "roles.sql", "keys.json", "about.json"
BLOCK = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class About:
    """What a backup says of itself."""

    format: int
    made_at: str
    """ISO time."""
    cronmirror: str
    """Version of the product."""
    postgres: int
    """Major version that it was dumped from."""
    project: str
    port: int | None
    settings: list[Setting]
    """Of the database."""

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> Self:
        """KeyError, TypeError or ValueError where it is not one."""
        port = found["port"]
        return cls(
            format=int(found["format"]),
            made_at=str(datetime.fromisoformat(found["made_at"]).isoformat()),
            cronmirror=str(found["cronmirror"]),
            postgres=int(found["postgres"]),
            project=str(found["project"]),
            port=None if port is None else int(port),
            settings=[(role, str(name), str(value)) for role, name, value in found["settings"]],
        )


async def write_backup(home: Home, dsn: str, target: Path, *, replace: bool = False) -> int:
    """Write the backup of `home` to `target`, whole or not at all; its size in bytes.

    StackError when it fails, and for a file that is there unless `replace`.
    """
    if not replace and await asyncio.to_thread(target.exists):
        raise StackError(f"{target} is already there", hint="Choose another name, or say --force.")
    binaries = await asyncio.to_thread(locate)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _new(draft) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                await _fill(archive, home, dsn, binaries)
            file.flush()
            os.fsync(file.fileno())
        await asyncio.to_thread(check, draft)
        draft.replace(target)
    except OSError as err:
        raise StackError(f"{target} cannot be written: {err.strerror or err}") from err
    finally:
        draft.unlink(missing_ok=True)
    return (await asyncio.to_thread(target.stat)).st_size


async def _fill(archive: zipfile.ZipFile, home: Home, dsn: str, binaries: Binaries) -> None:
    programs, settings = Programs(binaries, dsn), home.settings
    about = About(
        format=FORMAT,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cronmirror=version("cronmirror"),
        postgres=binaries.major,
        project=settings.project,
        port=settings.port,
        settings=await read_settings(dsn),
    )
    archive.writestr(ABOUT, json.dumps(asdict(about), indent=2))
    archive.writestr(KEYS, home.keys_file.read_bytes())
    archive.writestr(ROLES, await programs.output("pg_dumpall", "--roles-only", "--no-role-passwords"))
    with archive.open(DUMP, "w", force_zip64=True) as entry:
        async with programs.running("pg_dump", "--format=custom", "--no-subscriptions") as process:
            assert process.stdout is not None  # noqa: S101 # a pipe
            while block := await process.stdout.read(BLOCK):
                await asyncio.to_thread(entry.write, block)


def check(path: Path) -> About:
    """Read the whole file and its checksums. StackError when it is none, damaged, or a newer version's."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            about = About.parse(json.loads(archive.read(ABOUT)))
            missing = {DUMP, ROLES, KEYS} - set(archive.namelist())
    except FileNotFoundError as err:
        raise StackError(f"{path} is not there") from err
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as err:
        raise StackError(f"{path} is no backup of a local stack, or a damaged one ({err})") from err
    if damaged or missing:
        raise StackError(f"{path} is damaged: {damaged or ', '.join(sorted(missing))}")
    if about.format > FORMAT:
        raise StackError(f"{path} was made by a newer cronmirror ({about.cronmirror})", hint="Upgrade this one first.")
    return about


def _new(path: Path) -> IO[bytes]:
    """A file that only we can read."""
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))

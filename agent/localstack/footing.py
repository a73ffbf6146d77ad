"""As whom PostgreSQL runs, from which binaries and in which folder: it refuses to run as root.

Not root: as ourselves. Root: in a user namespace, where root is mapped to an ordinary uid; else with the uid dropped.
What that uid cannot reach (a clone under a home with mode 0700) is copied to a refuge under /var/lib. Nobody's
directories are chmodded, no user is created.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import structlog

from agent.errors import StackError
from agent.localstack.binaries import Binaries

log = structlog.get_logger()

REFUGE = Path("/var/lib/cronmirror")
CHECK_S = 20
Kind = Literal["self", "namespace", "dropped"]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """How a process is started so that PostgreSQL does not see root."""

    kind: Kind
    prefix: tuple[str, ...] = ()
    """Words put before the command."""
    owner: tuple[int, int] | None = None
    """uid and gid to drop to; None: the process keeps ours."""

    @property
    def files_belong_to(self) -> tuple[int, int]:
        """User and group ids that the data must have. A namespace changes what root is called, not who it is."""
        return self.owner or (os.geteuid(), os.getegid())

    def arguments(self) -> dict[str, Any]:
        """Arguments for `asyncio.create_subprocess_exec`; `/` because our own folder may be out of reach."""
        common: dict[str, Any] = {"cwd": "/", "start_new_session": True}
        if self.owner:
            common |= {"user": self.owner[0], "group": self.owner[1], "extra_groups": []}
        return common


@dataclass(frozen=True, kw_only=True)
class Footing:
    """A combination that was tried and works."""

    identity: Identity
    binaries: Binaries
    folder: Path
    """Where the data directory goes: belongs to the identity, mode 0700."""


def identities(only: Sequence[Kind] | None = None) -> list[Identity]:
    """The identities worth trying for this process, best first; `only` narrows them (tests)."""
    if os.geteuid() != 0:
        return [Identity(kind="self")]
    uid, gid = _ordinary_user()
    every: list[Identity] = []
    unshare = shutil.which("unshare")
    if unshare:
        every.append(Identity(kind="namespace", prefix=(unshare, "--user", f"--map-user={uid}")))
    every.append(Identity(kind="dropped", owner=(uid, gid)))
    return [each for each in every if only is None or each.kind in only]


def _ordinary_user() -> tuple[int, int]:
    """A uid that has a passwd entry (initdb insists): `postgres` where it exists, else `nobody`, else any."""
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    entry = known.get("postgres") or known.get("nobody") or next(iter(known.values()), None)
    if entry is None:
        raise StackError(
            "PostgreSQL does not run as root and this machine has no other user",
            hint="Run it as an ordinary user.",
        )
    return entry.pw_uid, entry.pw_gid


async def find_footing(
    binaries: Binaries, folder: Path, *, refuge: Path = REFUGE, only: Sequence[Kind] | None = None
) -> Footing:
    """The first combination that works: everything where it is, else copies in `refuge`. StackError if none does."""
    candidates = identities(only)
    home = place_in_refuge(folder, refuge)
    if not home.exists():
        for identity in candidates:
            if await _runs(identity, binaries) and await _owns(identity, folder):
                return Footing(identity=identity, binaries=binaries, folder=folder)
    for identity in candidates:
        footing = await _with_copies(identity, binaries, folder, refuge)
        if footing:
            return footing
    tried = " and ".join(identity.kind for identity in candidates) or "nothing"
    raise StackError(
        f"PostgreSQL does not run as root, and no other way was found to run {binaries.folder} in {folder} "
        f"(tried: {tried})",
        hint="Run it as an ordinary user, or give --database-url.",
    )


async def _with_copies(identity: Identity, binaries: Binaries, folder: Path, refuge: Path) -> Footing | None:
    home = place_in_refuge(folder, refuge)
    chosen = binaries
    try:
        await asyncio.to_thread(_open_refuge, refuge)
        if not await _runs(identity, binaries):
            if not binaries.parts:
                return None
            chosen = await asyncio.to_thread(_copy_binaries, binaries, refuge)
        place = folder if not home.exists() and await _owns(identity, folder) else home
        if await _runs(identity, chosen) and await _owns(identity, place):
            return Footing(identity=identity, binaries=chosen, folder=place)
    except OSError as err:
        log.warning("no copy could be made", refuge=str(refuge), error=str(err))
    return None


def _open_refuge(refuge: Path) -> None:
    refuge.mkdir(parents=True, exist_ok=True)
    refuge.chmod(0o755)


def place_in_refuge(folder: Path, refuge: Path) -> Path:
    """Where the data of `folder` lives when its own place is out of reach; once used, it is kept to."""
    return refuge / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def _copy_binaries(binaries: Binaries, refuge: Path) -> Binaries:
    package = binaries.parts[0]
    mark = f"{package.resolve()}:{binaries.program('postgres').stat().st_mtime_ns}"
    target = refuge / f"postgres-{binaries.major}-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"
    if not target.exists():
        draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        shutil.rmtree(draft, ignore_errors=True)
        for part in binaries.parts:
            shutil.copytree(part, draft / part.name, symlinks=True)
            (draft / part.name).chmod(0o755)
        draft.chmod(0o755)
        draft.rename(target)
    return replace(binaries, folder=target / package.name / binaries.folder.relative_to(package))


async def _runs(identity: Identity, binaries: Binaries) -> bool:
    """Whether both programs answer as this identity (initdb needs a library that the server does not)."""
    for name in ("postgres", "initdb"):
        if not await _succeeds(identity, [str(binaries.program(name)), "--version"]):
            return False
    return True


async def _owns(identity: Identity, folder: Path) -> bool:
    """Give `folder` to the identity (contents too, when it had another owner) and see whether it can write there."""
    await asyncio.to_thread(_hand_over, folder, identity.files_belong_to)
    return await _succeeds(identity, ["/bin/sh", "-c", 'cd "$1" && test -w .', "sh", str(folder)])


def _hand_over(folder: Path, owner: tuple[int, int]) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0 and folder.stat().st_uid != owner[0]:
        give(folder, owner)


def give(path: Path, owner: tuple[int, int]) -> None:
    """Change the owner of a file, or a folder with everything in it, links not followed."""
    os.chown(path, *owner, follow_symlinks=False)
    for folder, names, files in os.walk(path):
        for name in (*names, *files):
            os.chown(Path(folder) / name, *owner, follow_symlinks=False)


async def _succeeds(identity: Identity, command: list[str]) -> bool:
    quiet = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *identity.prefix, *command, stdin=quiet, stdout=quiet, stderr=quiet, **identity.arguments()
        )
    except OSError:
        return False
    try:
        return await asyncio.wait_for(process.wait(), CHECK_S) == 0
    except TimeoutError:
        process.kill()
        await process.wait()
        return False

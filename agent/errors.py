"""What can go wrong, as the answer to one question: retry later, fix credentials, or give up?

CronmirrorError
├── ConfigError            the YAML or what it refers to is wrong: a person must edit   (problems, each with its place)
├── TemporaryError         retry later                                                  (retry_after_s)
│   ├── Unreachable        nobody answered, or the answer was 408, 429 or 5xx
│   └── Forgotten          the server does not know this agent's epoch (a restored database): say hello again
├── CredentialsError       fix credentials                                              (hint)
│   ├── SessionExpired     a fresh access token may mend it: refresh, then ask again
│   └── NeedsSignIn        nothing stored can mend it: a person must sign in
└── PermanentError         give up; the same call would fail again                      (hint)
    ├── Refused            the server understood and said no                            (code, status)
    ├── Superseded         another process of this agent has taken over (older epoch)
    ├── HelloRefused       another living instance has this agent id                    (hostname)
    ├── SchemaMissing      the project's database lacks our tables or functions
    ├── StateError         the state directory cannot be used (locked, not ours, full)
    ├── ServiceError       launchd or systemd refused
    └── StackError         the embedded stack could not be started or used
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One fault of a configuration, with its place: `config.yaml:14: jobs.x.every: "15 minuts" is not …`."""

    message: str
    """What is wrong and what to do."""
    file: str | None = None
    line: int | None = None
    """1-based."""
    path: str | None = None
    """Dotted path of the key, e.g. `jobs.sync-stats.every`."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return ": ".join(part for part in (place, self.path, self.message) if part)


class CronmirrorError(Exception):
    """Root of every error this package raises on purpose. `str()` is written for people."""

    hint: str | None = None
    """What to do about it, one sentence, or None."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class ConfigError(CronmirrorError):
    """The configuration is wrong; `problems` holds every fault found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class TemporaryError(CronmirrorError):
    """Try again later. `retry_after_s` is the server's wish in seconds, or None."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Unreachable(TemporaryError):
    """Network error, timeout, 408, 429 or 5xx: says nothing about the call itself."""


class Forgotten(TemporaryError):
    """The server never gave out our epoch: its database was restored, or the agent removed. Hello mends it."""


class CredentialsError(CronmirrorError):
    """The caller's credentials are not accepted."""


class SessionExpired(CredentialsError):
    """The access token is stale (401, PGRST301, PGRST303): refresh it and ask again."""


class NeedsSignIn(CredentialsError):
    """No stored credential works any more: somebody has to sign in."""


class PermanentError(CronmirrorError):
    """The same call would fail again."""


class Refused(PermanentError):
    """The server said no: `code` is PostgREST's or Postgres' (`42501`, `PGRST202`, …), `status` the HTTP status."""

    def __init__(self, message: str, *, code: str = "", status: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status


class Superseded(PermanentError):
    """This process holds an older epoch than the server: another one is the agent now."""


class HelloRefused(PermanentError):
    """Another instance with this agent id is alive on `hostname`."""

    def __init__(self, message: str, *, hostname: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.hostname = hostname


class SchemaMissing(PermanentError):
    """The database has no (or an older) Cronmirror schema: run `cronmirror migrate`."""


class StateError(PermanentError):
    """The state directory cannot be used."""


class ServiceError(PermanentError):
    """The service manager refused."""


class StackError(PermanentError):
    """The embedded stack could not be started or used."""

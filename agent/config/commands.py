"""What a job executes, from its settings: one of `run`, `shell`, `http` and `python`, and how people are told of it."""

from __future__ import annotations

import json
import os.path
import re
import shlex
from dataclasses import dataclass

from agent.config.calls import Http, Python
from agent.config.resolve import Resolution
from agent.config.schema import Defaults, JobSpec
from agent.config.tree import Node, Path
from agent.model import Command, HttpCall, PythonCall

_LONGEST_INSTRUCTIONS = 8192
_NO_QUOTES_NEEDED = re.compile(r"[\w@%+=:,./${}~-]+")


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Makes the commands of one configuration."""

    tree: Node
    resolution: Resolution
    defaults: Defaults
    home: str

    def command(self, spec: JobSpec) -> Command:
        """The settings of a job as a `Command`."""
        workdir = spec.workdir if spec.workdir is not None else self.defaults.workdir
        return Command(
            argv=tuple(spec.run or ()),
            shell=spec.shell,
            http=_http(spec.http, takes_payload=spec.payload is not None) if spec.http else None,
            python=self._python(spec.python) if spec.python else None,
            env={**self.defaults.env, **spec.env},
            workdir=workdir and self._full(workdir),
        )

    def instructions(self, path: Path, spec: JobSpec) -> str:
        """What it runs, from the text as written: nothing that was filled in, no known secret."""
        text = spec.instructions if spec.instructions is not None else self._as_written(path, spec)
        for secret in sorted(self.resolution.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        text = text.strip()
        return text if len(text) <= _LONGEST_INSTRUCTIONS else f"{text[:_LONGEST_INSTRUCTIONS]}…"

    def _as_written(self, path: Path, spec: JobSpec) -> str:
        if spec.http is not None:
            url = self.tree.at((*path, "http", "url"))
            return f"{_method(spec.http, takes_payload=spec.payload is not None)} {url.text if url else ''}"
        if spec.python is not None:
            return ":".join(spec.python.call)
        argv, shell = self.tree.at((*path, "run")), self.tree.at((*path, "shell"))
        if argv is not None and argv.items is not None:
            return " ".join(_quoted(item.text or "") for item in argv.items)
        return (shell.text if shell else None) or ""

    def _python(self, python: Python) -> PythonCall:
        module, function = python.call
        return PythonCall(
            module=module,
            function=function,
            args=tuple(python.args),
            kwargs=python.kwargs,
            interpreter=python.interpreter and self._full(python.interpreter),
        )

    def _full(self, path: str) -> str:
        """Absolute, `~` being the home directory."""
        return os.path.normpath(path if path.startswith("/") else f"{self.home}/{path[2:]}")


def _http(http: Http, *, takes_payload: bool) -> HttpCall:
    headers, body = dict(http.headers), http.body
    if http.json_ is not None:
        body = json.dumps(http.json_, ensure_ascii=False)
        if "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = "application/json"
    return HttpCall(
        method=_method(http, takes_payload=takes_payload),
        url=http.url,
        headers=headers,
        body=None if body is None else body.encode(),
        expect=http.expect,
        follow_redirects=http.follow_redirects,
    )


def _method(http: Http, *, takes_payload: bool) -> str:
    sends = takes_payload or http.json_ is not None or http.body is not None
    return http.method or ("POST" if sends else "GET")


def _quoted(text: str) -> str:
    """Like `shlex.quote`, but `${NAME}` stays readable."""
    return text if _NO_QUOTES_NEEDED.fullmatch(text) else shlex.quote(text)

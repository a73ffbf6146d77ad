"""A systemd user unit (systemd.service(5), systemctl(1))."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.errors import ServiceError
from agent.service.unit import STOP_MARGIN_S, Kind, ServiceSpec, Status, fill

TEMPLATES: dict[Kind, str] = {"agent": "cronmirror.service", "local": "cronmirror-local.service"}
LABELS: dict[Kind, str] = {"agent": "cronmirror-", "local": "cronmirror.local-"}
"""A project's slug has no full stop in it: no agent's unit is a stack's."""


def quote(word: str) -> str:
    """One word of an `ExecStart=` or `Environment=` line: quotes, `%` specifiers and `$` are not to be interpreted."""
    safe = word.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{safe}"' if any(c.isspace() or c in "\"'\\;" for c in word) else safe


class Systemd:
    """`agent.service.Manager` on Linux."""

    name = "systemd"

    def __init__(self, home: Path, templates: Path, shell: Callable[[Sequence[str]], tuple[int, str]]) -> None:
        self._folder = home / ".config" / "systemd" / "user"
        self._templates = templates
        self._shell = shell

    def label(self, spec: ServiceSpec) -> str:
        """The unit's name."""
        return f"{LABELS[spec.kind]}{spec.slug}.service"

    def file(self, spec: ServiceSpec) -> Path:
        """Where systemd looks for a person's units."""
        return self._folder / self.label(spec)

    def render(self, spec: ServiceSpec) -> str:
        """The unit."""
        words = {
            "label": self.label(spec),
            "project": spec.project,
            "python": str(spec.python),
            "config": str(spec.config or ""),
            "state_dir": str(spec.state_dir),
            "stop_timeout": str(round(spec.drain_timeout_s) + STOP_MARGIN_S),
        }
        template = (self._templates / TEMPLATES[spec.kind]).read_text(encoding="utf-8")
        # `Environment=` does not expand `$`, so its words are quoted as a whole and without doubling it.
        for name, value in (("home", f"HOME={spec.home}"), ("path", f"PATH={spec.path}")):
            if "\n" in value:
                raise ServiceError(f"{name} has a line break in it: {value!r}")
            safe = value.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
            template = template.replace("{{" + name + "_assignment}}", f'"{safe}"')
        return fill(template, words, quote)

    def commands(self, spec: ServiceSpec) -> Sequence[Sequence[str]]:
        """Read the unit, start it now and at every login."""
        return [
            ["systemctl", "--user", "daemon-reload"],
            ["systemctl", "--user", "enable", self.label(spec)],
            ["systemctl", "--user", "restart", self.label(spec)],
        ]

    def install(self, spec: ServiceSpec) -> None:
        """Write the unit and start it; lingering makes it live without a login."""
        text = self.render(spec)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.file(spec).write_text(text, encoding="utf-8")
        for command in self.commands(spec):
            code, said = self._shell(command)
            if code:
                raise ServiceError(f"`{' '.join(command)}` failed: {said}", hint=f"The unit is {self.file(spec)}.")

    def start_at_boot_hint(self) -> str | None:
        """What to run so that the service starts at boot without a login; None when that is so already."""
        code, said = self._shell(["loginctl", "show-user", getpass.getuser(), "--property=Linger"])
        return None if code == 0 and said.endswith("yes") else f"sudo loginctl enable-linger {getpass.getuser()}"

    def uninstall(self, spec: ServiceSpec) -> bool:
        """Stop, disable and remove the unit."""
        if not self.file(spec).exists():
            return False
        self._shell(["systemctl", "--user", "disable", "--now", self.label(spec)])
        self.file(spec).unlink()
        self._shell(["systemctl", "--user", "daemon-reload"])
        return True

    def status(self, spec: ServiceSpec) -> Status:
        """Read `systemctl show`."""
        properties = "--property=ActiveState,SubState,MainPID,Result,LoadState"
        code, said = self._shell(["systemctl", "--user", "show", self.label(spec), properties])
        facts = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        installed = self.file(spec).exists()
        active = facts.get("ActiveState")
        if not installed:
            state, detail = "not installed", ""
        elif code or active is None:
            state, detail = "unknown", said
        elif active in ("active", "activating", "reloading"):
            state, detail = "running", f"pid {facts.get('MainPID', '?')}, {facts.get('SubState', '')}"
        else:
            failed = active == "failed"
            why = f"{facts.get('Result', '')}; see: journalctl --user -u {self.label(spec)}"
            state, detail = ("failed", why) if failed else ("stopped", active)
        return Status(label=self.label(spec), installed=installed, state=state, detail=detail, file=self.file(spec))  # type: ignore[arg-type]  # a literal chosen above

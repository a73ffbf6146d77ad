"""A LaunchAgent for the person who is logged in (launchd.plist(5), launchctl(1))."""

from __future__ import annotations

import os
import plistlib
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from agent.errors import ServiceError
from agent.service.unit import STOP_MARGIN_S, Kind, ServiceSpec, Status, fill

TEMPLATES: dict[Kind, str] = {"agent": "app.cronmirror.agent.plist", "local": "app.cronmirror.local.plist"}
LABELS: dict[Kind, str] = {"agent": "app.cronmirror.", "local": "app.cronmirror-local."}


class Launchd:
    """`agent.service.Manager` on macOS."""

    name = "launchd"

    def __init__(self, home: Path, templates: Path, shell: Callable[[Sequence[str]], tuple[int, str]]) -> None:
        self._folder = home / "Library" / "LaunchAgents"
        self._templates = templates
        self._shell = shell
        self._domain = f"gui/{os.getuid()}"

    def label(self, spec: ServiceSpec) -> str:
        """The service's name for launchctl."""
        return LABELS[spec.kind] + spec.slug

    def file(self, spec: ServiceSpec) -> Path:
        """Where launchd looks for a person's agents."""
        return self._folder / f"{self.label(spec)}.plist"

    def render(self, spec: ServiceSpec) -> str:
        """The plist, checked by parsing it."""
        words = {
            "label": self.label(spec),
            "python": str(spec.python),
            "config": str(spec.config or ""),
            "state_dir": str(spec.state_dir),
            "home": str(spec.home),
            "path": spec.path,
            "log": str(spec.log),
            "stop_timeout": str(round(spec.drain_timeout_s) + STOP_MARGIN_S),
        }
        text = fill((self._templates / TEMPLATES[spec.kind]).read_text(encoding="utf-8"), words, escape)
        plistlib.loads(text.encode())
        return text

    def commands(self, spec: ServiceSpec) -> Sequence[Sequence[str]]:
        """Load it and start it at once."""
        return [
            ["launchctl", "enable", f"{self._domain}/{self.label(spec)}"],
            ["launchctl", "bootstrap", self._domain, str(self.file(spec))],
        ]

    def install(self, spec: ServiceSpec) -> None:
        """Write the plist; `bootout` an older one first, for `bootstrap` refuses what is loaded."""
        text = self.render(spec)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._shell(["launchctl", "bootout", f"{self._domain}/{self.label(spec)}"])
        self.file(spec).write_text(text, encoding="utf-8")
        for command in self.commands(spec):
            code, said = self._shell(command)
            if code:
                raise ServiceError(f"`{' '.join(command)}` failed: {said}", hint=f"The plist is {self.file(spec)}.")

    def start_at_boot_hint(self) -> str | None:
        """A LaunchAgent lives with its person's login; automatic login is set in System Settings."""
        return None

    def uninstall(self, spec: ServiceSpec) -> bool:
        """Unload and remove the plist."""
        if not self.file(spec).exists():
            return False
        self._shell(["launchctl", "bootout", f"{self._domain}/{self.label(spec)}"])
        self.file(spec).unlink()
        return True

    def status(self, spec: ServiceSpec) -> Status:
        """Read `launchctl print`: its `state =` and `last exit code =` lines."""
        code, said = self._shell(["launchctl", "print", f"{self._domain}/{self.label(spec)}"])
        lines = [line.strip() for line in said.splitlines()]
        facts = {key.strip(): value.strip() for key, _, value in (line.partition(" = ") for line in lines) if value}
        installed = self.file(spec).exists()
        if code:
            state, detail = ("stopped", "not loaded") if installed else ("not installed", "")
        elif facts.get("state") == "running":
            state, detail = "running", f"pid {facts.get('pid', '?')}"
        else:
            state, detail = "failed", f"last exit code {facts.get('last exit code', '?')}; log: {spec.log}"
        return Status(label=self.label(spec), installed=installed, state=state, detail=detail, file=self.file(spec))  # type: ignore[arg-type]  # a literal chosen above

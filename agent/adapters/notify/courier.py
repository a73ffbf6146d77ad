"""Brings one message to one channel: `python -m agent.adapters.notify.courier < letter.json`.

The letter is on stdin (`{"url", "title", "body", "severity"}`), the answer on stdout (`{"error": null | text}`).
"""

from __future__ import annotations

import json
import logging
import sys

_KINDS = {"info": "info", "warning": "warning", "critical": "failure"}
NOT_UNDERSTOOD = "apprise does not understand this URL; see its documentation, and mind special characters"
NOT_SAID = "the service did not take it, and did not say why"


class _Reasons(logging.Handler):
    """What apprise says about a failure, which its API returns as a bare False."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the sentence."""
        self.said.append(" ".join(record.getMessage().split()))


def deliver(letter: dict[str, str]) -> str | None:
    """None when the service took it, else why not."""
    import apprise  # noqa: PLC0415 - this process exists so that nobody else does this

    reasons = _Reasons()
    logger = logging.getLogger("apprise")
    logger.addHandler(reasons)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # Neither plugins from files nor anything kept on disk: only what the YAML names.
    asset = apprise.AppriseAsset(app_id="Cronmirror", app_desc="Cronmirror", app_url="", secure_logging=True)
    channel = apprise.Apprise(asset=asset)
    if not channel.add(letter["url"]):
        return NOT_UNDERSTOOD
    kind = _KINDS.get(letter["severity"], "info")
    body = letter["body"] or letter["title"]  # apprise sends nothing that has no body
    if channel.notify(body=body, title=letter["title"], notify_type=kind, body_format="text"):
        return None
    return "; ".join(dict.fromkeys(reasons.said)) or NOT_SAID


def main() -> int:
    """Always an answer; the exit code is for people."""
    error = deliver(json.loads(sys.stdin.buffer.read()))
    sys.stdout.write(json.dumps({"error": error}))
    return 0 if error is None else 1


if __name__ == "__main__":
    sys.exit(main())

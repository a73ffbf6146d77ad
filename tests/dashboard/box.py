"""An agent that a test plays step by step: it keeps a connection, prepares sign-ins and exchanges codes at a provider.

What it says goes through the RPCs under an agent's own rights; the provider's side is the product's own client.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs
from uuid import uuid4

from agent.adapters.clock import SystemClock
from agent.adapters.oauth import OAuthProviders
from agent.cli.demo.operator import Operator
from agent.model import Connection, SignIn, Tokens
from tests.support.stack import Project
from tests.support.waiting import wait_until


class Box:
    """Signed in as the project's agent from `async with` on."""

    def __init__(self, project: Project, agent_id: str = "mac") -> None:
        self.agent_id = agent_id
        self._project = project
        self._caller = Operator(project.url, project.keys.publishable_key, project.project_id)
        self._providers = OAuthProviders(SystemClock())
        self._epoch = 0

    async def __aenter__(self) -> Self:
        await self._caller.sign_in(self._project.agent.email, self._project.agent.password)
        info = {"name": "Mac mini", "hostname": "mac.local", "version": "1.0.0", "platform": "darwin"}
        said = {"p_instance": str(uuid4()), "p_info": info, "p_known": [], "p_takeover": False, "p_epoch": 0}
        self._epoch = (await self._call("cron_agent_hello", **said))["epoch"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._caller.__aexit__()
        await self._providers.aclose()

    async def report(self, connection_id: str = "drive", **standing: Any) -> list[dict[str, Any]]:
        """Where the connection stands; answers what people ask of it."""
        row = {"connection_id": connection_id, "provider": "google", **standing}
        answer = await self._call("cron_report_connections", p_connections=[row], p_ids=None)
        return list(answer["requests"])

    async def notify(self, title: str = "Backup failed", **more: Any) -> str:
        """Raise a notice; its id."""
        notice = {
            "id": str(uuid4()), "type": "job_failed", "severity": "warning", "title": title, "body": "exit code 1",
            "subject": "job:backup", "at": None, "dedupe_key": str(uuid4()), **more,
        }  # fmt: skip
        await self._call("cron_notify", p_notices=[notice])
        return str(notice["id"])

    async def delivered(self, notice_id: str, **channels: dict[str, Any]) -> None:
        """How far the notice got."""
        await self._call("cron_delivered", p_deliveries={notice_id: channels})

    async def begin(self, connection: Connection) -> SignIn:
        """Wait for an admin's wish and answer with the provider's address."""
        (asked,) = await wait_until(self._asked)
        sign_in = self._providers.sign_in(connection, asked["redirect_uri"])
        await self.answer(asked["id"], authorization_url=sign_in.url, state=sign_in.state)
        return sign_in

    async def answer(self, request_id: str, **answer: Any) -> None:
        """What the agent says of a sign-in."""
        await self._call("cron_reconnect_answer", p_id=request_id, p_answer=answer)

    async def asked(self) -> str:
        """The id of the sign-in that an admin has asked for."""
        (request,) = await wait_until(self._asked)
        return str(request["id"])

    async def exchange(self, connection: Connection, sign_in: SignIn) -> Tokens:
        """Take the code that the page handed over and have it exchanged; not yet reported as done."""
        (request,) = await wait_until(self._given)
        code = (await self._call("cron_reconnect_take", p_id=request["id"]))["code"]
        given = parse_qs(code[1:]) if code.startswith("?") else {"code": [code]}
        tokens = await self._providers.exchange(connection, sign_in, given["code"][0])
        assert isinstance(tokens, Tokens), tokens
        return tokens

    async def _asked(self) -> list[dict[str, Any]]:
        return [each for each in await self._requests() if each["status"] == "asked"]

    async def _given(self) -> list[dict[str, Any]]:
        return [each for each in await self._requests() if each["status"] == "given"]

    async def _requests(self) -> list[dict[str, Any]]:
        return list((await self._call("cron_report_connections", p_connections=[], p_ids=None))["requests"])

    async def _call(self, name: str, **arguments: Any) -> Any:
        return await self._caller.rpc(name, **{"p_agent": self.agent_id, "p_epoch": self._epoch, **arguments})

"""The list: scenarios as data, one rule each, for both clients alike. Read from scenarios/*.yaml and checked here.

A scenario is `rule` (the documented rule, its name), `as` (who asks) and either one step or `steps`. A step says what
is done (one of VERBS) and what has to come of it (EXPECTATIONS). docs/conformance.md describes the language.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCENARIOS = Path(__file__).parent / "scenarios"
VERBS = ("call", "auth", "admin", "join", "hear", "say", "post", "track", "untrack", "present", "leave", "token")
EXPECTATIONS = ("data", "like", "count", "status", "headers", "error")

Client = Literal["python", "js"]
CLIENTS: tuple[Client, ...] = ("python", "js")
KEYS = ("publishable", "secret", "anon", "service", "wrong", "forged")
BEARERS = ("", "forged", "expired")


class Step(BaseModel):
    """One thing done, and what has to come of it."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    who: str | None = Field(None, alias="as")
    """anon, ann, bob, service, or a client that the scenario makes; the scenario's when it is not said."""
    call: list[dict[str, Any]] | None = None
    """The chain of a query, a call each: `[from: t, select: id, eq: [id, 1]]`."""
    auth: str | None = None
    admin: str | None = None
    given: list[Any] = Field(default_factory=list, alias="with")
    """Arguments of `auth` and `admin`, as supabase-js takes them."""
    join: str | None = None
    """A name for the channel that is made and subscribed to; `bind` are its bindings."""
    topic: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    bind: list[dict[str, Any]] = Field(default_factory=list)
    hear: str | None = None
    """The channel of which `first` events are awaited."""
    first: int = 1
    say: str | None = None
    """The channel that broadcasts `event` with `payload` through its socket; `post`: by HTTP."""
    post: str | None = None
    event: str = "said"
    payload: Any = None
    track: str | None = None
    untrack: str | None = None
    present: str | None = None
    """The channel of which the presence state is awaited until it has just the keys `keys`."""
    keys: list[str] = Field(default_factory=list)
    leave: str | None = None
    token: str | None = None
    """The access token that the client's Realtime connection goes on with."""
    save: dict[str, str] = Field(default_factory=dict)
    """Name → path in the result; `${name}` in what follows."""
    expected: dict[str, Any] = Field(default_factory=dict)
    only: dict[Client, dict[str, Any]] = Field(default_factory=dict)
    """Expectations of one client, where the clients themselves differ."""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, raw: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in raw.items() if key not in EXPECTATIONS} | {
            "expected": {key: raw[key] for key in EXPECTATIONS if key in raw}
        }

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        done = [verb for verb in VERBS if getattr(self, verb) is not None]
        if len(done) != 1:
            raise ValueError(f"a step does one of {', '.join(VERBS)}; this one: {done}")
        return self

    @property
    def verb(self) -> str:
        """What it does."""
        return next(verb for verb in VERBS if getattr(self, verb) is not None)

    def expectations(self, client: Client) -> dict[str, Any]:
        """What has to come of it with this client."""
        return self.expected | self.only.get(client, {})


class Scenario(BaseModel):
    """One documented rule, shown by what a client gets."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    rule: str
    area: str
    who: str = Field("anon", alias="as")
    clients: dict[str, str] = Field(default_factory=dict)
    """Clients of this scenario alone: name → the key they are made with, `+` an access token where there is one."""
    clients_only: list[Client] = Field(list(CLIENTS), alias="only")
    """Where only one of the clients can do it at all."""
    needs: list[str] = Field(default_factory=list)
    """What not every project has: `legacy` keys, `signup` switched on, … Without it the scenario is not asked."""
    steps: list[Step]

    @field_validator("clients")
    @classmethod
    def _known(cls, clients: dict[str, str]) -> dict[str, str]:
        for key, _, bearer in (each.partition("+") for each in clients.values()):
            if key not in KEYS or bearer not in BEARERS:
                raise ValueError(f"keys are {KEYS}, access tokens {BEARERS}")
        return clients

    @model_validator(mode="before")
    @classmethod
    def _one_step(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if "steps" in raw:
            return raw
        own = {"rule", "area", "as", "clients", "needs"} | ({"only"} if isinstance(raw.get("only"), list) else set())
        step = {key: value for key, value in raw.items() if key not in own}
        return {key: value for key, value in raw.items() if key in own} | {"steps": [step]}

    @property
    def name(self) -> str:
        """Area and rule."""
        return f"{self.area}: {self.rule}"


def read() -> list[Scenario]:
    """Every scenario, in the order of the files."""
    found = []
    for path in sorted(SCENARIOS.glob("*.yaml")):
        area = path.stem.split("_", 1)[1].replace("_", " ")
        found += [Scenario.model_validate({"area": area, **raw}) for raw in yaml.safe_load(path.read_text("utf-8"))]
    names = [each.name for each in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"rules listed twice: {sorted(twice)}")
    return found


def plan(scenarios: list[Scenario], client: Client) -> list[dict[str, Any]]:
    """What a runner is given: names, steps and nothing that has to come of them."""
    return [
        {
            "name": each.name,
            "as": each.who,
            "clients": each.clients,
            "steps": [
                step.model_dump(by_alias=True, exclude={"expected", "only"}, exclude_none=True) | {"verb": step.verb}
                for step in each.steps
            ],
        }
        for each in scenarios
        if client in each.clients_only
    ]

"""What follows from a request's headers alone. A client sends the same ones again and again: they are read once."""

from __future__ import annotations

import json
import time
from collections import OrderedDict

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from agent.localstack.access import Caller
from agent.localstack.bounds import headers_too_large
from agent.localstack.refusal import Refusal
from agent.localstack.rest.answers import Shown
from agent.localstack.rest.payload import JSON
from agent.localstack.rest.preferences import check_profile, negotiate, parse_preferences
from agent.localstack.rest.wire import Statement

MOST_KEPT = 512
MOST_CONFIGURED = 16
MOST_KEPT_BYTES = 8 * 1024
"""Longer heads are read each time: what strangers send must not fill the memory."""
Raw = tuple[tuple[bytes, bytes], ...]


class Head:
    """The headers of requests that have exactly these."""

    def __init__(self, raw: Raw) -> None:
        self.headers = Headers(raw=list(raw))
        self.refused: Refusal | None = headers_too_large(raw)
        self.origin = self.headers.get("origin")
        self.range = self.headers.get("range")
        self.content_type = self.headers.get("content-type", JSON).partition(";")[0].strip().lower()
        self.settings = json.dumps({name: value for name, value in self.headers.items() if name != "cookie"})
        self.cookies = json.dumps(Request({"type": "http", "headers": raw}).cookies)
        self.admitted: bool | None = None
        """Whether it asks under a name of this machine, once that has been looked at."""
        self._shown: dict[str, Shown] = {}
        self._configured: dict[tuple[object, ...], Statement] = {}
        self._schema: object = None
        self._caller: tuple[float, float, Caller, str] | None = None

    def shown(self, method: str) -> Shown:
        """What `Accept` and `Prefer` ask for; Refusal for what cannot be had."""
        found = self._shown.get(method)
        if found is None:
            check_profile(self.headers, method)
            media = negotiate(self.headers.get("accept"))
            preferences = parse_preferences(self.headers.getlist("prefer"))
            found = Shown(media=media, preferences=preferences, head=method == "HEAD")
            self._shown[method] = found
        return found

    def known_caller(self) -> tuple[Caller, str] | None:
        """Who asks, and the claims as JSON; None as soon as the token's times may say otherwise than they did."""
        if self._caller is not None and self._caller[0] <= time.time() < self._caller[1]:
            return self._caller[2:]
        return None

    def caller(self, found: Caller, leeway_s: float) -> tuple[Caller, str]:
        """What `known_caller` will say, once the caller has been found out."""
        claims = json.dumps(found.claims)
        if self.headers.get("apikey"):  # else it came with the query string
            begin, end = found.claims.get("nbf", 0), found.claims.get("exp", float("inf"))
            self._caller = (float(begin) - leeway_s, float(end) + leeway_s, found, claims)
        return found, claims

    def configured(self, key: tuple[object, ...], schema: object) -> Statement | None:
        """What has been made for a key and a state of the schema."""
        if self._schema is not schema or len(self._configured) > MOST_CONFIGURED:
            self._schema = schema
            self._configured.clear()
        return self._configured.get(key)

    def configure(self, key: tuple[object, ...], made: Statement) -> Statement:
        """Made for that key, and the state of the schema that `configured` was asked about."""
        self._configured[key] = made
        return made


class Heads:
    """The heads seen last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Raw, Head] = OrderedDict()

    def of(self, scope: Scope) -> Head:
        """The head of a request."""
        raw: Raw = tuple(scope["headers"])
        found = self._kept.get(raw)
        if found is not None:
            self._kept.move_to_end(raw)
            return found
        head = Head(raw)
        if head.refused is None and sum(len(name) + len(value) for name, value in raw) <= MOST_KEPT_BYTES:
            self._kept[raw] = head
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return head

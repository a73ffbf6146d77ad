"""Refusals in GoTrue's two shapes: the one before and the one since API version 2024-01-01."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from starlette.requests import Request
from starlette.responses import Response

from agent.localstack.refusal import json_response
from agent.model.value import Json

API_VERSION = "2024-01-01"
VERSION_HEADER = "x-supabase-api-version"
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
MIN_PASSWORD = 6


class AuthFault(Exception):
    """GoTrue's HTTPError: status, its error code, its message; `extra` are further members of the body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        extra: Mapping[str, Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})

    def response(self, request: Request) -> Response:
        """In the shape the client asked for; the version that was chosen is echoed."""
        headers = self.headers | {"x-sb-error-code": self.code}
        if _is_newer(request.headers.get(VERSION_HEADER, "")):
            body: dict[str, Json] = {"code": self.code, "message": self.message}
            return json_response(body | self.extra, self.status, headers | {VERSION_HEADER: API_VERSION})
        body = {"code": self.status, "error_code": self.code, "msg": self.message}
        return json_response(body | self.extra, self.status, headers)


def invalid(message: str) -> AuthFault:
    """The commonest of them: 400 validation_failed."""
    return AuthFault(400, "validation_failed", message)


def not_served(what: str) -> AuthFault:
    """501: nobody can take it for an answer of the genuine server."""
    return AuthFault(501, "not_implemented", f"not implemented by the local stack: {what}")


def weak_password() -> AuthFault:
    """GoTrue's WeakPasswordError, which says why in a member of its own."""
    message = f"Password should be at least {MIN_PASSWORD} characters."
    return AuthFault(422, "weak_password", message, extra={"weak_password": {"reasons": ["length"]}})


def too_many(wait_s: float) -> AuthFault:
    """429; the header is ours, GoTrue sends none."""
    headers = {"retry-after": str(max(1, int(wait_s) + 1))}
    return AuthFault(429, "over_request_rate_limit", "Request rate limit reached", headers=headers)


def _is_newer(version: str) -> bool:
    """A date since 2024-01-01; what is no date counts as none, as there."""
    try:
        return bool(DATE.fullmatch(version)) and date.fromisoformat(version) >= date.fromisoformat(API_VERSION)
    except ValueError:
        return False

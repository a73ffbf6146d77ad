"""`/auth/v1/admin/users`: list, look at, make, change, ban and delete users; for the service role alone."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode
from uuid import UUID

import psycopg
from starlette.requests import Request
from starlette.responses import Response

from agent.localstack.accounts import Accounts, Changes, Page, Row, Taken
from agent.localstack.auth.caller import Callers
from agent.localstack.auth.faults import AuthFault, invalid, not_served
from agent.localstack.auth.own import TAKEN
from agent.localstack.auth.params import (
    MAX_AUTH_BODY,
    Params,
    duration,
    email,
    fits_a_token,
    flag,
    members,
    params,
    parsed,
    storable,
    strong,
    text,
    uuid,
)
from agent.localstack.auth.people import user_json
from agent.localstack.keys import ROLES
from agent.localstack.refusal import json_response, read_body

PER_PAGE = 50
MOST = 2**63 - 1
UNSERVED = ("phone", "phone_confirm", "password_hash")


class Admin:
    """Each handler first asks whether the caller may."""

    def __init__(self, accounts: Accounts, callers: Callers) -> None:
        self._accounts = accounts
        self._callers = callers

    async def list(self, request: Request) -> Response:
        """GET /admin/users: newest first, with the pages in the headers `Link` and `X-Total-Count`."""
        self._callers.require_admin(request)
        if request.query_params.get("sort"):
            raise not_served("the parameter sort")
        page, per_page = _number(request, "page", 1), _number(request, "per_page", PER_PAGE)
        if not per_page:
            raise invalid("Bad Pagination Parameters: per_page must be greater than 0")
        offset = min((max(page, 1) - 1) * per_page, MOST)
        found = await self._accounts.users(
            limit=per_page, offset=offset, containing=request.query_params.get("filter", "")
        )
        body = {"users": [user_json(user) for user in found.users], "aud": "authenticated"}
        return json_response(body, headers=_pages(request, found, page, per_page))

    async def get(self, request: Request) -> Response:
        """GET /admin/users/{user_id}."""
        self._callers.require_admin(request)
        return json_response(user_json(await self._user(request)))

    async def create(self, request: Request) -> Response:
        """POST /admin/users. Without a password the user gets one that nobody knows."""
        self._callers.require_admin(request)
        given = await params(request)
        changes = _changes(given)
        address = text(given, "email")
        if not address:
            raise invalid("Cannot create a user without either an email or phone")
        fits_a_token(changes.app_metadata or {}, changes.user_metadata or {})
        try:
            user = await self._accounts.create(
                email(address),
                storable(text(given, "password")) or secrets.token_urlsafe(48),
                user_id=uuid(given, "id"),
                role=changes.role or "authenticated",
                confirm=changes.confirm,
                app_metadata=changes.app_metadata,
                user_metadata=changes.user_metadata,
            )
        except Taken as err:
            raise AuthFault(409, "conflict", "A user with this id already exists") from err
        if user is None:
            raise AuthFault(422, "email_exists", TAKEN)
        if changes.ban is not None:
            user = await self._accounts.change(user["id"], Changes(ban=changes.ban)) or user
        return json_response(user_json(user))

    async def change(self, request: Request) -> Response:
        """PUT /admin/users/{user_id}. A new password ends the user's sessions."""
        self._callers.require_admin(request)
        user = await self._user(request)
        given = await params(request)
        changes = _changes(given)
        if changes.password is not None:
            strong(changes.password)
        fits_a_token(
            user["raw_app_meta_data"] | (changes.app_metadata or {}),
            user["raw_user_meta_data"] | (changes.user_metadata or {}),
        )
        try:
            changed = await self._accounts.change(user["id"], changes)
        except Taken as err:
            raise AuthFault(422, "email_exists", TAKEN) from err
        return json_response(user_json(changed or user))

    async def delete(self, request: Request) -> Response:
        """DELETE /admin/users/{user_id}; `should_soft_delete` keeps the row and forgets the person."""
        self._callers.require_admin(request)
        user = await self._user(request)
        body = await read_body(request, MAX_AUTH_BODY)
        if flag(parsed(body), "should_soft_delete") if body else False:
            await self._accounts.bury(user["id"])
            return json_response({})
        try:
            await self._accounts.remove(user["id"])
        except psycopg.errors.IntegrityError as err:
            raise AuthFault(500, "unexpected_failure", "Database error deleting user") from err
        return json_response({})

    async def _user(self, request: Request) -> Row:
        try:
            user_id = UUID(request.path_params["user_id"])
        except ValueError as err:
            raise AuthFault(404, "validation_failed", "user_id must be an UUID") from err
        user = await self._accounts.user(user_id)
        if user is None:
            raise AuthFault(404, "user_not_found", "User not found")
        return user


def _changes(given: Params) -> Changes:
    for name in UNSERVED:
        if given.get(name):
            raise not_served(name)
    role = text(given, "role").strip()
    if role and role not in ROLES:
        raise not_served(f"the role {role[:100]!r}")
    address, ban = text(given, "email"), text(given, "ban_duration")
    return Changes(
        email=email(address) if address else None,
        password=text(given, "password") if given.get("password") is not None else None,
        role=role or None,
        confirm=flag(given, "email_confirm"),
        app_metadata=members(given, "app_metadata"),
        user_metadata=members(given, "user_metadata"),
        ban=duration(ban) if ban else None,
    )


def _number(request: Request, name: str, otherwise: int) -> int:
    given = request.query_params.get(name, "")
    if not given:
        return otherwise
    if not (given.isascii() and given.isdigit()) or len(given) > 19 or int(given) > MOST:  # noqa: PLR2004 # digits of 2^63
        raise invalid(f'Bad Pagination Parameters: strconv.ParseUint: parsing "{given[:40]}": invalid syntax')
    return int(given)


def _pages(request: Request, found: Page, page: int, per_page: int) -> dict[str, str]:
    last = -(-found.total // per_page)
    given = dict(request.query_params)
    given.pop("apikey", None)

    def link(number: int, relation: str) -> str:
        return f'</admin/users?{urlencode(given | {"page": str(number)})}>; rel="{relation}"'

    links = [link(page + 1, "next")] if last > page else []
    return {"link": ", ".join([*links, link(last, "last")]), "x-total-count": str(found.total)}

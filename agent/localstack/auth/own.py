"""What a signed-in user does with the own account: look, change, leave. Nothing here sends a mail."""

from __future__ import annotations

from typing import Literal, cast

from starlette.requests import Request
from starlette.responses import Response

from agent.localstack.accounts import Accounts, Changes
from agent.localstack.auth.caller import Callers
from agent.localstack.auth.faults import AuthFault, invalid, not_served
from agent.localstack.auth.params import email, fits_a_token, members, params, strong, text
from agent.localstack.auth.people import user_json
from agent.localstack.limits import Attempts
from agent.localstack.refusal import json_response

TAKEN = "A user with this email address has already been registered"
NO_MAIL = "no mail is sent from here; an administrator sets addresses and passwords (PUT /auth/v1/admin/users/{id})"


class Own:
    """GET and PUT /user, POST /logout, and what would need a mail."""

    def __init__(self, accounts: Accounts, callers: Callers, attempts: Attempts) -> None:
        self._accounts = accounts
        self._callers = callers
        self._attempts = attempts

    async def user(self, request: Request) -> Response:
        """GET /user."""
        return json_response(user_json((await self._callers.signed_in(request)).user))

    async def change(self, request: Request) -> Response:
        """PUT /user. A new address waits (`new_email`) until it is confirmed, which here an administrator does."""
        who = await self._callers.signed_in(request)
        given = await params(request)
        address = email(text(given, "email")) if text(given, "email") else None
        password = text(given, "password") if given.get("password") is not None else None
        data = members(given, "data")
        if text(given, "phone"):
            raise not_served("phone numbers")
        if password is not None:
            strong(password)
        if members(given, "app_metadata") is not None:
            raise AuthFault(403, "not_admin", "Updating app_metadata requires admin privileges")
        self._attempts.own_change(str(who.user["id"]))
        if address == who.user["email"]:
            address = None
        if address and await self._accounts.is_taken(address, by_other_than=who.user["id"]):
            raise AuthFault(422, "email_exists", TAKEN)
        if password is not None and await self._accounts.has_password(who.user, password):
            raise AuthFault(422, "same_password", "New password should be different from the old password.")
        changes = Changes(new_email=address, password=password, user_metadata=data)
        fits_a_token(who.user["raw_app_meta_data"], who.user["raw_user_meta_data"] | (data or {}))
        changed = await self._accounts.change(who.user["id"], changes, keep_session=who.session_id)
        if changed is None:
            raise AuthFault(403, "user_not_found", "User from sub claim in JWT does not exist")
        return json_response(user_json(changed))

    async def logout(self, request: Request) -> Response:
        """POST /logout of this session, the others, or all (`scope`; default global)."""
        who = await self._callers.signed_in(request)
        scope = request.query_params.get("scope") or "global"
        if scope not in {"global", "local", "others"}:
            raise invalid(f'Unsupported logout scope "{scope}"')
        known = cast("Literal['global', 'local', 'others']", scope)
        await self._accounts.sign_out(who.user["id"], who.session_id, known)
        return Response(status_code=204)

    async def recover(self, request: Request) -> Response:
        """POST /recover: checked as there, then refused, for a page must not tell anybody to look into a mailbox."""
        address = text(await params(request), "email")
        if not address:
            raise invalid("Password recovery requires an email")
        email(address)
        raise not_served(NO_MAIL)

    async def mail(self, _: Request) -> Response:
        """Whatever else would send one."""
        raise not_served(NO_MAIL)

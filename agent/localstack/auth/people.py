"""A user as GoTrue shows one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from agent.localstack.accounts import Row


def user_json(user: Row) -> dict[str, Any]:
    """GoTrue's User; absent instants are left out, as it does."""
    confirmed = _instant(user["email_confirmed_at"])
    optional = {
        "email_confirmed_at": confirmed,
        "confirmed_at": confirmed,
        "new_email": user["email_change"] or None,
        "last_sign_in_at": _instant(user["last_sign_in_at"]),
        "banned_until": _instant(user["banned_until"]),
        "deleted_at": _instant(user["deleted_at"]),
    }
    return {
        "id": str(user["id"]),
        "aud": user["aud"],
        "role": user["role"],
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        **{name: value for name, value in optional.items() if value is not None},
        "app_metadata": user["raw_app_meta_data"],
        "user_metadata": user["raw_user_meta_data"],
        "identities": [] if user["deleted_at"] else [_identity(user)],
        "created_at": _instant(user["created_at"]),
        "updated_at": _instant(user["updated_at"]),
        "is_anonymous": user["is_anonymous"],
    }


def _identity(user: Row) -> dict[str, Any]:
    """The one that comes with an e-mail address; there are no others here."""
    created = _instant(user["created_at"])
    data = {"email": user["email"], "email_verified": False, "phone_verified": False, "sub": str(user["id"])}
    return {
        "identity_id": str(user["id"]),
        "id": str(user["id"]),
        "user_id": str(user["id"]),
        "identity_data": data,
        "provider": "email",
        "last_sign_in_at": created,
        "created_at": created,
        "updated_at": created,
        "email": user["email"],
    }


def _instant(value: datetime | None) -> str | None:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else None

"""A real OAuth 2 provider on loopback, built with Authlib, that can be told to misbehave.

It has authorization codes with PKCE, refresh tokens (rotated; one that is used twice ends the whole login), client
credentials, device codes and revocation. `faults` are what happens to the next requests of the token endpoint. Its
secrets are marked (`marked_secrets`), and while it runs none of them may be on the command line of any process.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from authlib.common.security import generate_token
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request, TokenMixin, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import (
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
    DeviceCredentialDict,
)

from agent.model import Connection
from tests.support.marked_secrets import MARK, CommandLines, Kind, marked

CLIENT_ID = "client-1"
CLIENT_SECRET = f"{Kind.CLIENT}-{MARK}-of-the-loopback-provider-{Kind.CLIENT}-{MARK}"
"""The same in every process of a test."""
SCOPES = ("files.read", "openid")
FOREVER_S = 60.0
"""How long an answer is withheld that is not to come while a test runs."""


@dataclass
class Fault:
    """What happens to one request of the token endpoint."""

    status: int | None = None
    """Answer this instead of doing anything."""
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    """Wait so long before anything else (cut short when the provider closes)."""
    lost: bool = False
    """Do what was asked (a refresh token is rotated), but break off before the answer."""


def refusal(error: str, status: int = 400, **more: object) -> Fault:
    """RFC 6749 §5.2."""
    return Fault(status=status, body=json.dumps({"error": error, **more}), headers={"Content-Type": "application/json"})


def too_many(retry_after: str = "7") -> Fault:
    return Fault(status=429, headers={"Retry-After": retry_after})


def broken(status: int = 500) -> Fault:
    return Fault(status=status, body="<html>oops</html>", headers={"Content-Type": "text/html"})


def silence() -> Fault:
    return Fault(after_s=FOREVER_S)


def slow(seconds: float) -> Fault:
    return Fault(after_s=seconds)


def lost_answer() -> Fault:
    return Fault(lost=True)


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str]


@dataclass(eq=False)
class GivenToken(TokenMixin):
    """One pair that was given out; all pairs of one login share `family`."""

    access_token: str
    refresh_token: str | None
    family: str
    user: str
    scope: str
    expires_at: float
    used: bool = False
    """The refresh token was used and replaced."""
    revoked: bool = False

    def check_client(self, client):
        return True

    def get_scope(self):
        return self.scope

    def get_expires_in(self):
        return int(self.expires_at - time.time())

    def is_expired(self):
        return self.expires_at <= time.time()

    def is_revoked(self):
        return self.revoked

    def get_user(self):
        return self.user

    def get_client(self):
        return _Client()


@dataclass
class _Code:
    code: str
    redirect_uri: str
    scope: str
    user: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


class OAuthProvider:
    """Serves from `with` on; `url` ends without a slash. Everything may be changed while it runs."""

    def __init__(self, *, lifetime_s: int = 3600, rotation: bool = True, reuse_ends_login: bool = True):
        self.lifetime_s = lifetime_s
        self.rotation = rotation
        self.reuse_ends_login = reuse_ends_login
        self.user: str | None = "ada@example.com"
        """Who signs in; None: refuses."""
        self.faults: deque[Fault] = deque()
        self.asked: list[Asked] = []
        self.given: list[GivenToken] = []
        self.device_interval_s = 5
        self.device_lifetime_s = 1800
        self.refreshed = 0
        """How many refreshes succeeded."""
        self.codes: dict[str, _Code] = {}
        self.devices: dict[str, dict] = {}
        self.device_grants: dict[str, tuple[str, bool]] = {}
        self.impatient_devices = False
        """Answer `slow_down` to whoever asks for a device's token too early."""
        self.tag = generate_token(12)
        """In every secret that it gives."""
        self._command_lines = CommandLines(self.tag, CLIENT_SECRET)
        self.closing = threading.Event()
        self.lock = threading.RLock()
        self.engine = _engine(self)
        self._server = _HttpServer(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True, name="oauth provider").start()
        self._command_lines.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._command_lines.stop()

    def connection(self, connection_id: str = "demo", **changes) -> Connection:
        """A connection to this provider."""
        return Connection(**{
            "connection_id": connection_id, "provider": "generic", "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET, "token_url": f"{self.url}/token",
            "authorization_url": f"{self.url}/authorize", "device_url": f"{self.url}/device",
            "revocation_url": f"{self.url}/revoke", "scopes": SCOPES, "account_url": f"{self.url}/me",
            "account_fields": ("email",), "env": "DEMO_ACCESS_TOKEN", **changes,
        })  # fmt: skip

    def yaml(self, connection_id: str = "demo", **more: str) -> str:
        """The same as a line of `connections:`."""
        keys = {
            "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token_url": f"{self.url}/token",
            "authorization_url": f"{self.url}/authorize", "device_url": f"{self.url}/device",
            "revocation_url": f"{self.url}/revoke", "scopes": list(SCOPES), "account_url": f"{self.url}/me",
            "account_field": "email", **more,
        }  # fmt: skip
        return f"{connection_id}: {json.dumps(keys)}"

    def sign_in_now(self) -> GivenToken:
        """A login as if somebody had signed in: its tokens."""
        return self.give(self.user or "nobody", " ".join(SCOPES), family=generate_token(8), refresh=True)

    def give(self, user: str, scope: str, *, family: str, refresh: bool) -> GivenToken:
        token = GivenToken(
            access_token=marked(Kind.ACCESS, self.tag),
            refresh_token=marked(Kind.REFRESH, self.tag) if refresh else None,
            family=family,
            user=user,
            scope=scope,
            expires_at=time.time() + self.lifetime_s,
        )
        with self.lock:
            self.given.append(token)
        return token

    def answer_device(self, user_code: str, *, allowed: bool = True) -> None:
        """What the person does who has typed the code."""
        self.device_grants[user_code] = (self.user or "nobody", allowed)

    def accepts(self, access_token: str) -> bool:
        """Whether the API would let it in."""
        return any(
            each.access_token == access_token and not each.revoked and not each.is_expired() for each in self.given
        )

    def end_login(self, family: str) -> None:
        for each in self.given:
            if each.family == family:
                each.revoked = True

    def requests_of(self, path: str) -> list[Asked]:
        return [each for each in self.asked if each.path == path]


class _Client(ClientMixin):
    client_id = CLIENT_ID

    def get_client_id(self):
        return CLIENT_ID

    def get_default_redirect_uri(self):
        return None

    def get_allowed_scope(self, scope):
        return scope or ""

    def check_redirect_uri(self, redirect_uri):
        """RFC 8252 §7.3: any port on loopback."""
        parts = urlsplit(redirect_uri)
        return parts.hostname in ("127.0.0.1", "dashboard.example") and parts.scheme in ("http", "https")

    def check_client_secret(self, client_secret):
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return True

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return True


class _Request(OAuth2Request):
    def __init__(self, method, uri, headers, args, form):
        super().__init__(method, uri, headers=headers)
        self._args, self._form = args, form
        self.payload = BasicOAuth2Payload({**args, **form})

    @property
    def args(self):
        return self._args

    @property
    def form(self):
        return self._form


def _engine(provider: OAuthProvider) -> AuthorizationServer:
    """Authlib's server over the provider's lists."""

    class Server(AuthorizationServer):
        def query_client(self, client_id):
            return _Client() if client_id == CLIENT_ID else None

        def save_token(self, token, request):
            old = request.refresh_token
            refreshing = isinstance(old, GivenToken)
            user = request.user if isinstance(request.user, str) else CLIENT_ID
            family = old.family if refreshing else generate_token(8)
            given = provider.give(user, token.get("scope", ""), family=family, refresh="refresh_token" in token)
            token["access_token"] = given.access_token
            if given.refresh_token:
                token["refresh_token"] = given.refresh_token
            if refreshing:
                provider.refreshed += 1

        def send_signal(self, name, *args, **kwargs):
            pass

        def create_oauth2_request(self, request):
            return request

        def handle_response(self, status, body, headers):
            return status, body, dict(headers)

    server = Server()
    # drawn by save_token, for a login's tokens belong together
    server.register_token_generator(
        "default", BearerTokenGenerator(lambda **_: "drawn", lambda **_: "drawn", lambda *_: provider.lifetime_s)
    )
    for grant in (_code_grant(provider), _refresh_grant(provider), grants.ClientCredentialsGrant, _device(provider)):
        server.register_grant(grant, [CodeChallenge(required=True)] if hasattr(grant, "RESPONSE_TYPES") else None)
    server.register_endpoint(_device_endpoint(provider))
    server.register_endpoint(_revocation(provider))
    return server


def _code_grant(provider: OAuthProvider):
    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

        def generate_authorization_code(self):
            return marked(Kind.CODE, provider.tag)

        def save_authorization_code(self, code, request):
            said = request.payload.data
            provider.codes[code] = _Code(
                code,
                said["redirect_uri"],
                request.scope,
                request.user,
                said.get("code_challenge"),
                said.get("code_challenge_method"),
            )

        def query_authorization_code(self, code, client):
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code):
            del provider.codes[authorization_code.code]

        def authenticate_user(self, authorization_code):
            return authorization_code.user

    return CodeGrant


def _refresh_grant(provider: OAuthProvider):
    class RefreshGrant(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

        @property
        def INCLUDE_NEW_REFRESH_TOKEN(self):  # noqa: N802 - Authlib's name
            return provider.rotation

        def authenticate_refresh_token(self, refresh_token):
            found = next((each for each in provider.given if each.refresh_token == refresh_token), None)
            if found is None or found.revoked:
                return None
            if found.used:
                if provider.reuse_ends_login:  # RFC 9700 §4.14.2
                    provider.end_login(found.family)
                return None
            return found

        def authenticate_user(self, refresh_token):
            return refresh_token.user

        def revoke_old_credential(self, refresh_token):
            refresh_token.used = provider.rotation

    return RefreshGrant


def _device(provider: OAuthProvider):
    class DeviceGrant(DeviceCodeGrant):
        def query_device_credential(self, device_code):
            found = provider.devices.get(device_code)
            return DeviceCredentialDict(found) if found else None

        def query_user_grant(self, user_code):
            return provider.device_grants.get(user_code)

        def should_slow_down(self, credential):
            return provider.impatient_devices

    return DeviceGrant


def _device_endpoint(provider: OAuthProvider):
    class DeviceEndpoint(DeviceAuthorizationEndpoint):
        @property
        def INTERVAL(self):  # noqa: N802 - Authlib's name
            return provider.device_interval_s

        @property
        def EXPIRES_IN(self):  # noqa: N802 - Authlib's name
            return provider.device_lifetime_s

        def generate_device_code(self):
            return marked(Kind.DEVICE, provider.tag)

        def get_verification_uri(self):
            return f"{provider.url}/activate"

        def save_device_credential(self, client_id, scope, data):
            expires_at = time.time() + data["expires_in"]
            saved = {**data, "client_id": client_id, "scope": scope, "expires_at": expires_at}
            provider.devices[data["device_code"]] = saved

    return DeviceEndpoint


def _revocation(provider: OAuthProvider):
    class Revocation(RevocationEndpoint):
        CLIENT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

        def query_token(self, token_string, token_type_hint):
            return next(
                (each for each in provider.given if token_string in (each.access_token, each.refresh_token)), None
            )

        def revoke_token(self, token, request):
            provider.end_login(token.family)

    return Revocation


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    provider: OAuthProvider

    def handle_error(self, request, client_address):
        """A client that went away."""


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer

    def do_GET(self):
        self._answer({})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        in_json = self.headers.get("Content-Type", "").startswith("application/json")
        self._answer(json.loads(body) if in_json and body else dict(parse_qsl(body)))

    def _answer(self, form):
        provider, parts = self.server.provider, urlsplit(self.path)
        headers = dict(self.headers.items())
        headers["Authorization"] = self.headers.get("Authorization", "")  # Authlib knows this spelling alone
        asked = Asked(self.command, parts.path, {name.lower(): value for name, value in headers.items()}, form)
        provider.asked.append(asked)
        fault = provider.faults.popleft() if parts.path == "/token" and provider.faults else Fault()
        if fault.after_s and provider.closing.wait(fault.after_s):
            return
        if fault.status is not None:
            self._send(fault.status, fault.body, fault.headers)
            return
        request = _Request(self.command, f"{provider.url}{self.path}", headers, dict(parse_qsl(parts.query)), form)
        with provider.lock:
            status, body, told = self._do(parts.path, request, headers)
        if fault.lost:
            self.close_connection = True
            return
        self._send(status, body, told)

    def _do(self, path, request, headers):
        provider, engine = self.server.provider, self.server.provider.engine
        if path == "/token":
            return engine.create_token_response(request)
        if path == "/device":
            return engine.create_endpoint_response("device_authorization", request)
        if path == "/revoke":
            return engine.create_endpoint_response("revocation", request)
        if path == "/authorize":
            try:
                grant = engine.get_consent_grant(request, provider.user)
            except OAuth2Error as error:
                return engine.handle_error_response(request, error)
            return engine.create_authorization_response(request, provider.user, grant)
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if not provider.accepts(token):
            return 401, {"error": "invalid_token"}, {}
        found = next(each for each in provider.given if each.access_token == token)
        return 200, {"email": found.user}, {}

    def _send(self, status, body, headers):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        told = {"Content-Type": "application/json", **headers, "Content-Length": str(len(data))}
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):  # noqa: A002 - the base class' name
        """Not in a test's output."""

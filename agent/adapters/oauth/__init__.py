"""OAuth 2 providers, over HTTP: sign-ins, refreshing, revoking, and what their refusals mean."""

from agent.adapters.oauth.client import OAuthProviders
from agent.adapters.oauth.failures import failure_of
from agent.adapters.oauth.redirect import Landing, Redirect

__all__ = ["Landing", "OAuthProviders", "Redirect", "failure_of"]

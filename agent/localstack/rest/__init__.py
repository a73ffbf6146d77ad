"""`/rest/v1` as PostgREST answers it: query strings in, JSON made by Postgres out, as the caller's own database role.

scanner, grammar and parameters read the request; catalog says what exists; reading, writing and calling make the SQL;
session runs it; answers writes the response; routes joins them.
"""

from agent.localstack.rest.catalog import SchemaCache
from agent.localstack.rest.routes import Rest

__all__ = ["Rest", "SchemaCache"]

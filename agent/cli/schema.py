"""`cronmirror schema`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from agent.config.document import json_schema, reference


def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference page instead.")] = False,
) -> None:
    """Print the JSON Schema of the configuration, for completion in an editor.

    With the YAML language server: put `# yaml-language-server: $schema=cronmirror.schema.json` at the top of the file.
    """
    sys.stdout.write(reference() if markdown else json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")

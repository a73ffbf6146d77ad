"""What every mapping of the YAML is made of: a model that refuses unknown keys, and how a key is declared."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from agent.model import Json


class Part(BaseModel):
    """A mapping of the YAML: unknown keys are faults, and faults never show values."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_written(cls, data: Any) -> Any:
        """A key with nothing behind it counts as not written."""
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None or name not in written_fields(cls)}


def written_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys of a mapping as they are written in the YAML."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def option(description: str, *, example: Json, default: Any = None) -> Any:
    """An optional key. `default` is written as in the YAML; None: nothing."""
    return Field(default=default, description=description, examples=[example])

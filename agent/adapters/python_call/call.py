"""Calls one Python function, in the interpreter of a `python` job: `python call.py module:function < call.json`.

A program of its own that imports nothing of ours: it runs in other people's environments, Python 3.8 and later.
The call is on stdin, `{"args": [], "kwargs": {}, "payload": …}`, for its arguments may be secrets and `ps` shows argv.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import io
import json
import os
import sys
import traceback
from typing import Any

NOT_CALLED = 78
FAILED = 1
LARGEST_CODE = 255


class CannotCall(Exception):
    """The function cannot be called; the text says what to do."""


def main() -> int:
    """Return the exit code."""
    entry = sys.argv[1]
    call = json.loads(sys.stdin.buffer.read())
    sys.stdin = io.StringIO(json.dumps(call["payload"]) if "payload" in call else "")
    _import_from_workdir()
    try:
        function = find(entry)
        kwargs = with_payload(entry, function, call)
    except CannotCall as err:
        sys.stderr.write(f"cronmirror: {err}\n")
        return NOT_CALLED
    return exit_code(run(function, call["args"], kwargs))


def _import_from_workdir() -> None:
    """As `python -m` would; Python has put this file's folder there (unless it was told not to)."""
    ours = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # pathlib is slower to import
    if sys.path and os.path.abspath(sys.path[0]) == ours:  # noqa: PTH100  # same
        del sys.path[0]
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # same


def find(entry: str) -> Any:
    """The function that `module:function` names. Raises `CannotCall`."""
    name, _, path = entry.partition(":")
    here = f"from {os.getcwd()} (`workdir`) with {sys.executable} (`python.interpreter`)"  # noqa: PTH109  # see above
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as err:
        if err.name and (name == err.name or name.startswith(f"{err.name}.")):
            said = f"module {name} was not found {here}: correct the name, or one of the two"
            raise CannotCall(said) from err
        said = f"module {name} needs {err.name}, which was not found {here}: install it there"
        raise CannotCall(said) from err
    except Exception as err:
        traceback.print_exc()
        raise CannotCall(f"module {name} could not be imported {here}: mend the error above") from err
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as err:
            raise CannotCall(f"module {name} has no {path}: correct `python.call`, or define it") from err
    if not callable(found):
        raise CannotCall(f"{path} of module {name} is no function: correct `python.call`")
    return found


def with_payload(entry: str, function: Any, call: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments, with `payload` where there is one and the function takes it. Raises `CannotCall`."""
    kwargs = dict(call["kwargs"])
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return kwargs  # built in: it says itself what it takes
    takes = signature.parameters.values()
    if "payload" in call and any(one.name == "payload" or one.kind is one.VAR_KEYWORD for one in takes):
        kwargs["payload"] = call["payload"]
    try:
        signature.bind(*call["args"], **kwargs)
    except TypeError as err:
        said = f"{entry} takes {signature}, which does not fit `args` and `kwargs` of the job: {err}"
        raise CannotCall(said) from err
    return kwargs


def run(function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """What the function returns; SystemExit and what else it raises pass, as they would from any program."""
    result = function(*args, **kwargs)
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Any) -> Any:
    return await result


def exit_code(result: Any) -> int:
    """A whole number is the exit code; anything else but None is printed."""
    if isinstance(result, int) and not isinstance(result, bool):
        if 0 <= result <= LARGEST_CODE:
            return result
        sys.stderr.write(f"cronmirror: {result} was returned, which is no exit code (0 to {LARGEST_CODE})\n")
        return FAILED
    if result is not None:
        print(json.dumps(result, ensure_ascii=False, default=str))  # noqa: T201  # this is the run's output
    return 0


if __name__ == "__main__":
    sys.exit(main())

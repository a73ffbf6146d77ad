"""Functions called for real, in an interpreter of their own, as the agent starts it."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.process import GroupProcesses
from agent.adapters.python_call import PROGRAM
from agent.adapters.python_call.call import NOT_CALLED, main
from agent.model import Command, Json, PythonCall, RunLimits
from agent.run.cancel import CancelSwitch
from agent.run.launch import Home, process_spec
from tests.support.fake_runs import a_job, a_request, a_run

MODULE = """
import asyncio, os, sys

def greet(name, times=1):
    return {"said": f"hello {name}" * times, "argv": sys.argv, "sys_path": sys.path[0]}

async def later(payload=None, **more):
    await asyncio.sleep(0)
    return {"payload": payload, "stdin": sys.stdin.read(), "file": "CRONMIRROR_PAYLOAD" in os.environ}

def no_payload():
    return "fine"

class Job:
    @classmethod
    def code(cls, number):
        return number

def path():
    return sys.path

def leaves(code):
    raise SystemExit(code)

def breaks():
    raise ValueError("so it is")

constant = 5
"""


class Heard:
    def __init__(self) -> None:
        self.stdout = b""
        self.stderr = b""

    def feed(self, stream: str, data: bytes) -> None:
        setattr(self, stream, getattr(self, stream) + data)


class Here:
    """`main()` in this process, which is quicker where the process itself does not matter."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Box(folder)
        self._patch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "path", list(sys.path))
        for name in [each for each in sys.modules if each.partition(".")[0] == "reports"]:
            monkeypatch.delitem(sys.modules, name)

    def call(self, entry: str, *args: Json, **more: Json) -> int:
        said = json.dumps({"args": args, "kwargs": {}, **more}).encode()
        self._patch.setattr(sys, "argv", ["call.py", entry])
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said)))
        return main()


class Box:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "reports").mkdir()
        (folder / "reports" / "__init__.py").touch()
        (folder / "reports" / "daily.py").write_text(MODULE)
        (folder / "reports" / "broken.py").write_text("import reports.daily\nprint(undefined)")
        (folder / "reports" / "needy.py").write_text("import a_library_that_is_not_there")
        self.heard = Heard()

    async def call(self, entry: str, *args: Json, payload: Json = None, interpreter: str | None = None, **kwargs: Json):
        module, _, function = entry.partition(":")
        python = PythonCall(module=module, function=function, args=args, kwargs=kwargs, interpreter=interpreter)
        job = a_job(command=Command(python=python), payload_schema={} if payload is not None else None)
        run = a_run(job, request=a_request(job, payload) if payload is not None else None)
        home = Home(
            project="p",
            agent_id="a",
            base_env=dict(os.environ),
            workdir=str(self.folder),
            python=sys.executable,
            python_call=PROGRAM,
        )
        spec = process_spec(run, home, "/payload.json" if payload is not None else None)
        assert not any("s3cret" in each for each in spec.argv)
        return (await GroupProcesses().run(spec, self.heard, CancelSwitch())).exit_code

    @property
    def printed(self) -> Json:
        return json.loads(self.heard.stdout)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    yield Here(tmp_path, monkeypatch)
    for name in [each for each in sys.modules if each.partition(".")[0] == "reports"]:
        del sys.modules[name]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


async def test_a_function_of_the_workdir_is_called_and_its_answer_printed(box: Box):
    assert await box.call("reports.daily:greet", "s3cret", times=2) == 0
    assert box.printed["said"] == "hello s3crethello s3cret"
    assert box.printed["sys_path"] == str(box.folder)
    assert box.printed["argv"][1:] == ["reports.daily:greet"]


async def test_the_agents_own_files_are_not_what_a_function_imports(box: Box):
    assert await box.call("reports.daily:path") == 0
    assert not [each for each in box.printed if Path(each).is_relative_to(Path(PROGRAM).parent)]


async def test_an_async_function_is_awaited_and_finds_the_payload(box: Box):
    assert await box.call("reports.daily:later", payload={"width": "s3cret"}) == 0
    assert box.printed == {"payload": {"width": "s3cret"}, "stdin": '{"width": "s3cret"}', "file": True}


async def test_an_exception_is_an_exit_code_of_1_with_its_traceback(box: Box):
    assert await box.call("reports.daily:breaks") == 1
    assert b"Traceback" in box.heard.stderr
    assert b"ValueError: so it is" in box.heard.stderr


def test_a_function_that_wants_no_payload_gets_none(here: Here, capsys: pytest.CaptureFixture[str]):
    assert here.call("reports.daily:no_payload", payload={"a": 1}) == 0
    assert here.call("reports.daily:later", payload=None) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first, json.loads(second)["stdin"]) == ('"fine"', "null")


@pytest.mark.parametrize(
    ("entry", "args", "code"),
    [
        ("reports.daily:Job.code", (3,), 3),
        ("reports.daily:Job.code", (True,), 0),
        ("reports.daily:Job.code", (256,), 1),
        ("time:sleep", (0,), 0),
    ],
)
def test_a_whole_number_is_the_exit_code(here: Here, entry: str, args: tuple, code: int):
    assert here.call(entry, *args) == code


def test_system_exit_passes(here: Here):
    with pytest.raises(SystemExit) as left:
        here.call("reports.daily:leaves", 4)
    assert left.value.code == 4


@pytest.mark.parametrize(
    ("entry", "args", "said"),
    [
        ("nowhere:x", (), "module nowhere was not found from"),
        ("reports.nowhere:x", (), "module reports.nowhere was not found from"),
        ("reports.needy:x", (), "module reports.needy needs a_library_that_is_not_there, which was not found"),
        ("reports.broken:x", (), "NameError: name 'undefined' is not defined"),
        ("reports.daily:gret", (), "module reports.daily has no gret: correct `python.call`, or define it"),
        ("reports.daily:constant", (), "constant of module reports.daily is no function"),
        ("reports.daily:greet", (), "reports.daily:greet takes (name, times=1), which does not fit"),
    ],
)
def test_a_function_that_cannot_be_called_says_what_to_do(
    here: Here, capsys: pytest.CaptureFixture[str], entry: str, args: tuple, said: str
):
    assert here.call(entry, *args) == NOT_CALLED
    told = capsys.readouterr().err
    assert said in told
    assert "cronmirror: " in told


async def test_another_interpreter_is_used_where_the_job_names_one(box: Box):
    (box.folder / "python").symlink_to(sys.executable)
    assert await box.call("reports.daily:greet", "you", interpreter=str(box.folder / "python")) == 0


def test_limits_are_part_of_what_is_started():
    limits = RunLimits(nice=3)
    home = Home(project="p", agent_id="a", base_env={}, workdir="/", python="/python", python_call="/call")
    assert process_spec(a_run(a_job(limits=limits)), home, None).limits == limits

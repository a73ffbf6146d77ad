"""What is filled in where, what counts as a secret, and what is shown instead."""

from __future__ import annotations

from tests.support.config_texts import FakeLookup, config_of, job_of, problems_of


def test_variables_are_filled_in_where_nothing_else_owns_the_dollar():
    config = config_of(
        """
        project: ${P}
        defaults: {timeout: "${T}"}
        limits: {concurrency: "${N}"}
        jobs:
          j:
            name: "${A}"
            description: "${A}"
            shell: echo ${A} $${B}
            enabled: ${E}
            env: {X: "${A}", Y: "$$A"}
            workdir: ${W}
            tags: ["${A}"]
            payload: {type: object, title: "${A}", properties: {x: {pattern: "^$$"}}}
          k: {run: [echo, "${A}", "$HOME"]}
        """,
        P="home",
        T="5s",
        N="2",
        A="alpha: [1]",
        E="false",
        W="/w",
    )
    shell, run = config.jobs
    assert (config.project, config.limits.concurrency, shell.timeout_s, shell.enabled) == ("home", 2, 5, False)
    assert (shell.name, shell.description, shell.tags) == ("${A}", "${A}", ("${A}",))
    assert shell.command.shell == "echo ${A} $${B}"
    assert (shell.command.env, shell.command.workdir) == ({"X": "alpha: [1]", "Y": "$A"}, "/w")
    assert shell.payload_schema["title"] == "${A}"
    assert shell.payload_schema["properties"]["x"]["pattern"] == "^$$"
    assert run.command.argv == ("echo", "alpha: [1]", "$HOME")


def test_secrets_are_what_comes_from_outside_into_jobs_and_credentials():
    config = config_of(
        """
        project: ${PROJECT}
        supabase: {url: "${URL}", key: literal-key, email: "${MAIL}", password: "pre-${PW}"}
        defaults: {timezone: "${ZONE}", env: {D: "${FROM_DEFAULTS}"}}
        jobs:
          j:
            run: [a, "${FROM_RUN}", "${file:/f}"]
            env:
              A: "x ${FROM_ENV} y"
              B: "${keyring:k}"
              C: "${NOPE:-fallback}"
              H: "${HOME}/x"
              FLAG: "${YES}"
              SHORT: "${TINY}"
              API_TOKEN: written here
              COLOUR: green
            workdir: /w
        """,
        FakeLookup(
            {
                "PROJECT": "project-x",
                "URL": "https://a.example.com",
                "MAIL": "a@example.com",
                "PW": "pw-value",
                "ZONE": "UTC",
                "FROM_DEFAULTS": "from defaults",
                "FROM_RUN": "from run",
                "FROM_ENV": "from env",
                "HOME": "/home/me",
                "YES": "true",
                "TINY": "abc",
            },
            keyring={"k": "from keyring"},
            files={"/f": "line one\nline two\n\nx"},
        ),
    )
    assert config.secrets == {
        "literal-key",
        "pw-value",
        "pre-pw-value",
        "from defaults",
        "from run",
        "from env",
        "from keyring",
        "line one\nline two\n\nx",
        "line one",
        "line two",
        "written here",
    }
    assert config.withheld_env == {"PW"}


def test_instructions_show_the_command_as_written():
    assert (
        job_of('{run: [curl, "${TOKEN}", a b, $HOME]}', TOKEN="s3cret-token").instructions
        == "curl ${TOKEN} 'a b' $HOME"
    )
    assert job_of('{shell: "echo ${TOKEN}\n"}', TOKEN="s3cret-token").instructions == "echo ${TOKEN}"
    assert job_of("{run: [a], instructions: mine}").instructions == "mine"


def test_instructions_hide_secrets_that_somebody_wrote_out():
    job = job_of('{shell: "curl -H s3cret-token", env: {T: "${TOKEN}"}}', TOKEN="s3cret-token")
    assert job.instructions == "curl -H ***"


def test_long_instructions_are_cut():
    assert len(job_of(f"{{shell: '{'x' * 9000}'}}").instructions) == 8193


def test_env_files_are_read_before_values_are_filled_in():
    lookup = FakeLookup(env_files={"a.env": {"X": "one"}, "b.env": {"Y": "two"}})
    config = config_of('env_file: [a.env, b.env]\nproject: "${X}${Y}"\njobs: {}', lookup)
    assert config.project == "onetwo"
    assert config_of('env_file: a.env\nproject: "${X}"', lookup).project == "one"


def test_an_unreadable_env_file_is_told_with_its_line():
    problems = problems_of("project: p\nenv_file: nope.env\njobs: {}")
    assert problems == ["config.yaml:2: env_file: nope.env cannot be read"]

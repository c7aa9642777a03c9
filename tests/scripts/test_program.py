"""Programs of the fleet in the background: stack/lib/program.sh."""

import os

import pytest

FINGERPRINT = '. "$STACK_SCRIPTS/lib/program.sh"; fingerprint_of true "$BASH"'


@pytest.mark.parametrize("setting", ["EMOFLEET_CONFIG", "EMOFLEET__ALERTS__RULES"])
def test_a_changed_file_of_settings_or_rules_restarts_a_program(checkout, tmp_path, setting):
    file = tmp_path / "file.toml"
    file.write_text("[worker]\nslots = 2\n")
    before, again = (checkout.bash(FINGERPRINT, **{setting: file}) for _ in range(2))
    file.write_text("[worker]\nslots = 3\n")
    assert before == again
    assert before != checkout.bash(FINGERPRINT, **{setting: file})


CARGO = """#!/bin/bash
printf '%s\\n' "$@" >"$SEEN"
while (($#)) && [[ "$1" != --target-dir ]]; do shift; done
mkdir -p "$2/release" && printf '#!/bin/bash\\necho built\\n' >"$2/release/producer" && chmod 755 "$2/release/producer"
"""


@pytest.mark.parametrize(("named", "folder"), [("", "target"), ("built", "built"), ("/elsewhere", "/elsewhere")])
def test_the_program_that_runs_is_the_one_that_was_built(checkout, tmp_path, named, folder):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "cargo").write_text(CARGO)
    (programs / "cargo").chmod(0o755)
    if named.startswith("/"):
        named = folder = f"{tmp_path}{named}"
    checkout.stack.mkdir()
    (checkout.stack / "env").touch()
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "SEEN": tmp_path / "seen", "CARGO_TARGET_DIR": named}
    run = checkout.root / "run.sh"
    # Cargo's configuration names another folder; the command line wins over it. The caller may be anywhere.
    done = checkout.run(run, "producer", "status", cwd=tmp_path, CARGO_BUILD_TARGET_DIR=tmp_path / "wrong", **variables)
    assert (done.returncode, done.stdout) == (0, "built\n"), done.stderr
    arguments = (tmp_path / "seen").read_text().splitlines()
    assert arguments[arguments.index("--target-dir") + 1] == str(checkout.root / folder)


@pytest.mark.parametrize(
    ("config", "variable", "seconds"),
    [
        (None, "", 45),
        (None, "600", 600),
        ("[worker]\nslots = 2\ndrain_timeout_s = 1_200 # calls of an hour\n", "", 1200),
        ("[worker]\ndrain_timeout_s = 300\n", "90", 90),
        ("[ worker ] # here\n  drain_timeout_s=0\n[other]\ndrain_timeout_s = 7\n", "", 0),
        ("[other]\ndrain_timeout_s = 7\n", "", 45),
        ("worker.drain_timeout_s = 70\n", "", 70),
        (None, "soon", 45),
    ],
)
def test_a_worker_has_the_time_to_drain_that_is_configured(checkout, tmp_path, config, variable, seconds):
    variables = {"EMOFLEET__WORKER__DRAIN_TIMEOUT_S": variable}
    if config is not None:
        (tmp_path / "config.toml").write_text(config)
        variables["EMOFLEET_CONFIG"] = tmp_path / "config.toml"
    assert checkout.bash('. "$STACK_SCRIPTS/lib/program.sh"; drain_timeout_s', **variables) == str(seconds)
    # What stack/worker.sh gives to `program`.
    (checkout.stack / "env").touch()
    (checkout.root / "stack/lib/program.sh").open("a").write('\nprogram() { echo "grace $4"; }\n')
    stop = checkout.run(checkout.root / "stack/worker.sh", "stop", "1", **variables)
    assert stop.stdout == f"grace {seconds + 15}\n", stop.stderr

"""Switching the workers' model while programs run: finish_jobs of stack/model.sh."""

import pytest

# The functions of model.sh with programs that only note how they were called.
SCRIPT = """
set -- --help
. "$STACK_SCRIPTS/model.sh" >/dev/null
running() { [[ "$1" == console ]]; }
say() { :; }
STACK_SCRIPTS="$FAKES" BUILT="$FAKES" console=1
set +e
(finish_jobs old 2h)
echo "ended $?" >>"$SEEN"
"""


@pytest.mark.parametrize(
    ("first", "last", "ended", "sentence"),
    [
        (0, 0, 0, None),
        (0, 4, 1, "still open 2m after the console stopped"),
        (4, 0, 1, "still open after 2h"),
        (0, 1, 1, "could not be counted"),
    ],
)
def test_the_console_is_not_away_for_longer_than_the_last_jobs_may_take(
    checkout, tmp_path, first, last, ended, sentence
):
    fakes, seen = tmp_path / "fakes", tmp_path / "seen"
    fakes.mkdir()
    fake = f'#!/bin/bash\necho "${{0##*/}} $*" >>"{seen}"\n'
    (fakes / "console.sh").write_text(fake)
    (fakes / "producer").write_text(fake + f'[[ "$*" != *"--at-most 20 "* ]] || exit {first}\nexit {last}\n')
    for program in fakes.iterdir():
        program.chmod(0o755)
    done = checkout.run(
        "bash", "-c", f'. "$CHECKOUT/stack/lib.sh"\n{SCRIPT}', CHECKOUT=checkout.root, FAKES=fakes, SEEN=seen
    )
    lines = seen.read_text().splitlines()
    wait = "producer --no-wait-for-services wait --model old"
    expected = [f"{wait} --at-most 20 --timeout 2h"]
    if first == 0:
        expected += ["console.sh stop", f"{wait} --at-most 0 --timeout 2m"]
    if ended:
        expected.append("console.sh start")
        assert sentence in done.stderr
    assert lines == [*expected, f"ended {ended}"], done.stderr

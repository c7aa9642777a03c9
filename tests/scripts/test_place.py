"""Where a stack is kept: stack/lib/place.sh."""

import pytest


def rights(path):
    return path.stat().st_mode & 0o777


def test_a_folder_with_other_files_is_no_stack_and_keeps_its_rights(checkout, tmp_path):
    disk = tmp_path / "disk"
    (disk / "shared").mkdir(parents=True)
    for folder in (disk, disk / "shared"):
        folder.chmod(0o755)
    done = checkout.run(checkout.root / "run.sh", "--help", EMOFLEET_STACK_DIR=disk)
    assert done.returncode == 1
    assert done.stderr == (
        f"EMOFLEET_STACK_DIR: {disk} holds other files: name a new or empty folder, like {disk}/emofleet.\n"
    )
    assert [path.name for path in disk.iterdir()] == ["shared"]
    assert (rights(disk), rights(disk / "shared")) == (0o755, 0o755)


@pytest.mark.parametrize("there", [None, "", "runtime", "exporter", "kinds"])
def test_a_new_or_empty_folder_or_an_earlier_stack_is_one(checkout, tmp_path, there):
    folder = tmp_path / "stack"
    if there is not None:
        (folder / there).mkdir(parents=True)
    checkout.bash("true", EMOFLEET_STACK_DIR=folder)
    assert (folder / "runtime").is_dir() and rights(folder) == 0o700


def test_the_default_folder_is_a_stack_whatever_it_holds(checkout):
    (checkout.stack / "of-an-old-version").mkdir(parents=True)
    checkout.bash("true")
    assert (checkout.stack / "runtime").is_dir()


def test_a_relative_folder_is_the_same_for_scripts_that_run_elsewhere(checkout, tmp_path):
    below = 'cd "$CHECKOUT" && bash -c \'. stack/lib.sh; printf %s "$STACK"\''
    assert checkout.bash(below, cwd=tmp_path, EMOFLEET_STACK_DIR="stack") == str(tmp_path / "stack")
    assert not (checkout.root / "stack" / "runtime").exists()

"""The settings that a stack writes for the programs: stack/lib/environment.sh and stack/lib/model.sh."""

import json

from conftest import Checkout

KINDS = "AMQP=native\nPOSTGRES=native\nS3=native\n"


def write(checkout, kinds: str = KINDS) -> None:
    checkout.stack.mkdir(exist_ok=True)
    (checkout.stack / "kinds").write_text(kinds)
    checkout.bash("write_environment recordings")


def model(folder, name: str):
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"name": name}))
    (folder / "model.onnx").touch()
    return folder


def test_a_checkout_may_lie_in_a_folder_with_quotes_blanks_and_dollar_signs(tmp_path):
    checkout = Checkout(tmp_path / """Lin's "$(touch PWNED)" files""")
    write(checkout)
    names = ("EMOFLEET__RUNTIME__ONNXRUNTIME", "EMOFLEET__MODEL__DIR", "EMOFLEET_TEST_S3")
    expected = [
        checkout.stack / "runtime" / "libonnxruntime.so",
        checkout.root / "models" / "default",
        checkout.root / "stack" / "s3.sh",
    ]
    printed = checkout.bash(f"load_environment; printenv {' '.join(names)}")
    assert printed.splitlines() == [str(path) for path in expected]
    assert not list(tmp_path.rglob("PWNED"))
    printed = checkout.run(checkout.root / "run.sh", "env")
    assert printed.returncode == 0 and "EMOFLEET__MODEL__DIR" in printed.stdout


def test_a_setting_of_the_environment_wins_over_a_default(checkout):
    write(checkout)
    read = 'load_environment; echo "$EMOFLEET__S3__BUCKET"; printenv EMOFLEET__S3__REGION'
    assert checkout.bash(read, EMOFLEET__S3__BUCKET="calls").split() == ["calls", "us-east-1"]


def test_a_chosen_model_replaces_the_lines_of_the_one_before(checkout, tmp_path):
    write(checkout)
    for name in ("first", "second"):
        checkout.bash(f"remember_model '{model(tmp_path / name, name)}'")
    lines = (checkout.stack / "env").read_text().splitlines()
    assert len([line for line in lines if "EMOFLEET__MODEL__" in line or "STACK_MODEL" in line]) == 3
    read = 'load_environment; echo "$EMOFLEET__MODEL__DIR $EMOFLEET__MODEL__NAME $EMOFLEET_STACK_MODEL"'
    assert checkout.bash(read).split() == [str(tmp_path / "second"), "second", str(tmp_path / "second")]


def test_the_name_of_a_model_is_no_command(checkout, tmp_path):
    folder = model(tmp_path / "model", "x$(touch PWNED)")
    done = checkout.run(checkout.root / "run.sh", "model", "use", folder)
    assert done.returncode == 1
    assert "letters, digits and _ . + - only" in done.stderr
    # As an earlier version remembered it.
    (checkout.stack / "model").write_text(f"DIR={folder}\nNAME=x$(touch PWNED)\n")
    write(checkout)
    assert checkout.bash('load_environment; echo "$EMOFLEET__MODEL__NAME"') == "x$(touch PWNED)\n"
    assert not list(tmp_path.rglob("PWNED"))


def test_a_folder_with_blanks_can_be_the_model(checkout, tmp_path):
    folder = model(tmp_path / "Lin's models", "emotion2vec_plus_large-1.0+int8")
    done = checkout.run(checkout.root / "run.sh", "model", "use", folder)
    assert done.returncode == 0, done.stderr
    write(checkout)
    assert checkout.bash('load_environment; echo "$EMOFLEET__MODEL__DIR"') == f"{folder}\n"


def test_a_stack_with_the_users_own_postgres_works_in_every_later_terminal(checkout):
    url = "postgres://user:secret@db.example/calls"
    write(checkout, "AMQP=native\nPOSTGRES=external\nS3=native\n")
    read = 'load_environment; echo "admin: $EMOFLEET_TEST_POSTGRES_ADMIN_URL"'
    assert checkout.bash(read, EMOFLEET__POSTGRES__URL=url) == f"admin: {url}\n"
    assert checkout.bash(read) == "admin: \n"
    own = {"EMOFLEET__POSTGRES__URL": url, "EMOFLEET_TEST_POSTGRES_ADMIN_URL": "postgres://admin@db.example/postgres"}
    assert checkout.bash(read, **own) == "admin: postgres://admin@db.example/postgres\n"

"""Programs of the fleet in the background: stack/lib/program.sh."""

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

"""The private PostgreSQL before its start: stack/lib/postgres_server.sh, with programs in the place of Debian's."""

import pytest

DATA = """
. "$STACK_SCRIPTS/lib/postgres_server.sh"
DATA="$STACK/postgres" BIN="$STACK" AS=()
mkdir -p "$DATA" && printf '%s\\n' "$INITDB" >"$BIN/initdb" && chmod 755 "$BIN/initdb"
(make_data) || echo failed
"""
INITDB = """#!/bin/bash
mkdir -p "$2/base" && echo 15 >"$2/PG_VERSION" && touch "$2/postgresql.conf"
"""
INSTALL = """
. "$STACK_SCRIPTS/lib/postgres_server.sh"
CLUSTER_SWITCH="$STACK/createcluster.conf"
echo 'ssl = on' >"$CLUSTER_SWITCH"
as_root() { "$@"; }
keep_disabled() { :; }
install_packages() {
  if [[ "$2" == postgresql ]]; then
    cp "$CLUSTER_SWITCH" "$STACK/seen"
    eval "$ENDS"
  fi
}
(install_server) || echo failed
"""


def test_an_interrupted_initdb_leaves_no_database(checkout, tmp_path):
    kept = {"TMPDIR": tmp_path}
    assert checkout.bash(DATA, INITDB=INITDB + "kill -KILL $$", **kept) == "failed\n"
    assert not (checkout.stack / "postgres" / "PG_VERSION").exists()
    assert checkout.bash(DATA, INITDB=INITDB, **kept) == ""
    entries = {path.name for path in (checkout.stack / "postgres").iterdir()}
    assert entries == {"PG_VERSION", "base", "postgresql.conf"}


@pytest.mark.parametrize("end", ["kill -INT $PPID", "kill -TERM $PPID", "exit 1", ""])
def test_the_file_with_the_password_is_removed_however_initdb_ends(checkout, tmp_path, end):
    checkout.bash(DATA, INITDB=INITDB + end, TMPDIR=tmp_path)
    assert not list(tmp_path.glob("emofleet.*"))


@pytest.mark.parametrize("end", ["kill -INT $BASHPID", "kill -TERM $BASHPID", "false", "true"])
def test_debians_switch_for_clusters_is_restored_however_the_installation_ends(checkout, end):
    printed = checkout.bash(INSTALL, ENDS=end)
    assert printed == ("" if end == "true" else "failed\n")
    assert (checkout.stack / "seen").read_text() == "ssl = on\ncreate_main_cluster = false\n"
    assert (checkout.stack / "createcluster.conf").read_text() == "ssl = on\n"
    assert [path.name for path in checkout.stack.glob("createcluster.*")] == ["createcluster.conf"]

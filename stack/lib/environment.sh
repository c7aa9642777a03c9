# shellcheck shell=bash
# The settings of the programs and tests: written by up.sh, read by run.sh and test.sh.
# A setting that is already in the environment wins over a default of this file.

# An earlier `eval "$(./run.sh env)"` may have left this stack's own addresses in the shell. They must not count as
# external services: they are recognised by their password and unset before the kinds are chosen.
forget_own_settings() {
  forget_own_model
  [[ -f "$SECRETS_FILE" ]] || return 0
  if [[ "${EMOFLEET__AMQP__URL:-}" == *":$(secret AMQP_PASSWORD)@"* ]]; then unset EMOFLEET__AMQP__URL; fi
  if [[ "${EMOFLEET__POSTGRES__URL:-}" == *":$(secret POSTGRES_PASSWORD)@"* ]]; then
    unset EMOFLEET__POSTGRES__URL EMOFLEET_TEST_POSTGRES_ADMIN_URL
  fi
  if [[ "${EMOFLEET__S3__ACCESS_KEY:-}" == "$(secret S3_ACCESS_KEY)" ]]; then
    unset EMOFLEET__S3__ENDPOINT EMOFLEET__S3__ACCESS_KEY EMOFLEET__S3__SECRET_KEY
  fi
}

# default NAME VALUE: an export line that keeps a value from the environment. The value is quoted: a folder or the name of a
# model may have blanks, quotes and dollar signs. remember_model finds a variable by its line, so there is one for each.
# shellcheck disable=SC2016 # expanded when the file is sourced
default() { printf 'export %s; [ -n "${%s:-}" ] || %s=%q\n' "$1" "$1" "$1" "$2"; }

# fixed NAME VALUE: an export line that replaces a value from the environment.
fixed() { printf 'export %s=%q\n' "$1" "$2"; }

# write_environment BUCKET
write_environment() {
  local bucket="$1" address=127.0.0.1
  {
    echo "# Written by stack/up.sh. Contains passwords: do not share it."
    if [[ "$(kind_of AMQP)" != external ]]; then
      default EMOFLEET__AMQP__URL "amqp://emofleet:$(secret AMQP_PASSWORD)@$address:$(port amqp)/emofleet"
    fi
    if [[ "$(kind_of POSTGRES)" != external ]]; then
      default EMOFLEET__POSTGRES__URL "postgres://emofleet:$(secret POSTGRES_PASSWORD)@$address:$(port postgres)/emofleet"
    fi
    # shellcheck disable=SC2016 # the last one is expanded when the file is sourced, maybe in a shell without that address
    case "$(kind_of POSTGRES)" in
      native) default EMOFLEET_TEST_POSTGRES_ADMIN_URL "postgres://postgres:$(secret POSTGRES_ADMIN_PASSWORD)@$address:$(port postgres)/postgres" ;;
      compose) default EMOFLEET_TEST_POSTGRES_ADMIN_URL "postgres://emofleet:$(secret POSTGRES_PASSWORD)@$address:$(port postgres)/postgres" ;;
      *) echo 'export EMOFLEET_TEST_POSTGRES_ADMIN_URL="${EMOFLEET_TEST_POSTGRES_ADMIN_URL:-${EMOFLEET__POSTGRES__URL:-}}"' ;;
    esac
    if [[ "$(kind_of S3)" != external ]]; then
      default EMOFLEET__S3__ENDPOINT "http://$address:$(port s3)"
      default EMOFLEET__S3__REGION us-east-1
      default EMOFLEET__S3__BUCKET "$bucket"
      default EMOFLEET__S3__ACCESS_KEY "$(secret S3_ACCESS_KEY)"
      default EMOFLEET__S3__SECRET_KEY "$(secret S3_SECRET_KEY)"
    fi
    default EMOFLEET__RUNTIME__ONNXRUNTIME "$RUNTIME/libonnxruntime.so"
    model_settings
    # Programs with which the tests control the services: vhosts to isolate tests, restarts to test faults.
    fixed EMOFLEET_TEST_RABBITMQCTL "$ROOT/stack/rabbitmqctl.sh"
    fixed EMOFLEET_TEST_RABBITMQ "$ROOT/stack/rabbitmq.sh"
    fixed EMOFLEET_TEST_POSTGRES "$ROOT/stack/postgres.sh"
    fixed EMOFLEET_TEST_S3 "$ROOT/stack/s3.sh"
    # Clients of other projects that the console is tested with; lib/test_tools.sh fetches them.
    fixed EMOFLEET_TEST_CLIENTS "$STACK/clients"
    fixed EMOFLEET_STACK_KINDS "amqp=$(kind_of AMQP) postgres=$(kind_of POSTGRES) s3=$(kind_of S3)"
  } >"$ENV_FILE.new"
  chmod 600 "$ENV_FILE.new"
  mv "$ENV_FILE.new" "$ENV_FILE"
}

# load_environment: exports the settings into this shell.
load_environment() {
  [[ -f "$ENV_FILE" ]] || die "there is no stack yet: run ./run.sh (or stack/up.sh) first."
  forget_own_settings
  # shellcheck disable=SC1090
  . "$ENV_FILE"
}

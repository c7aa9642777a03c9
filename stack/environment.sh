# shellcheck shell=bash
# The settings that the programs and the tests get from the stack: written by up.sh, read by run.sh and test.sh.
# A setting that is made already always wins: those lines are defaults.

# An earlier `eval "$(./run.sh env)"` may have left this stack's own addresses in the shell. They are not
# "external services": known by the password in them, they are forgotten before kinds are chosen.
forget_own_settings() {
  [[ -f "$SECRETS_FILE" ]] || return 0
  if [[ "${EMOFLEET__AMQP__URL:-}" == *":$(secret AMQP_PASSWORD)@"* ]]; then unset EMOFLEET__AMQP__URL; fi
  if [[ "${EMOFLEET__POSTGRES__URL:-}" == *":$(secret POSTGRES_PASSWORD)@"* ]]; then
    unset EMOFLEET__POSTGRES__URL EMOFLEET_TEST_POSTGRES_ADMIN_URL
  fi
  if [[ "${EMOFLEET__S3__ACCESS_KEY:-}" == "$(secret S3_ACCESS_KEY)" ]]; then
    unset EMOFLEET__S3__ENDPOINT EMOFLEET__S3__ACCESS_KEY EMOFLEET__S3__SECRET_KEY
  fi
}

# line NAME VALUE: one default.
line() { printf "export %s=\"\${%s:-%s}\"\n" "$1" "$1" "$2"; }

# fact NAME VALUE: what only this stack can know, so no earlier value counts.
fact() { printf "export %s='%s'\n" "$1" "$2"; }

# write_environment BUCKET
write_environment() {
  local bucket="$1" address=127.0.0.1
  {
    echo "# Written by stack/up.sh. Holds passwords: keep it to yourself."
    if [[ "$(kind_of AMQP)" != external ]]; then
      line EMOFLEET__AMQP__URL "amqp://emofleet:$(secret AMQP_PASSWORD)@$address:$(port amqp)/emofleet"
    fi
    if [[ "$(kind_of POSTGRES)" != external ]]; then
      line EMOFLEET__POSTGRES__URL "postgres://emofleet:$(secret POSTGRES_PASSWORD)@$address:$(port postgres)/emofleet"
    fi
    # shellcheck disable=SC2016 # the last is expanded by whoever sources the file
    case "$(kind_of POSTGRES)" in
      native) line EMOFLEET_TEST_POSTGRES_ADMIN_URL "postgres://postgres:$(secret POSTGRES_ADMIN_PASSWORD)@$address:$(port postgres)/postgres" ;;
      compose) line EMOFLEET_TEST_POSTGRES_ADMIN_URL "postgres://emofleet:$(secret POSTGRES_PASSWORD)@$address:$(port postgres)/postgres" ;;
      *) line EMOFLEET_TEST_POSTGRES_ADMIN_URL '$EMOFLEET__POSTGRES__URL' ;;
    esac
    if [[ "$(kind_of S3)" != external ]]; then
      line EMOFLEET__S3__ENDPOINT "http://$address:$(port s3)"
      line EMOFLEET__S3__REGION us-east-1
      line EMOFLEET__S3__BUCKET "$bucket"
      line EMOFLEET__S3__ACCESS_KEY "$(secret S3_ACCESS_KEY)"
      line EMOFLEET__S3__SECRET_KEY "$(secret S3_SECRET_KEY)"
    fi
    line EMOFLEET__RUNTIME__ONNXRUNTIME "$RUNTIME/libonnxruntime.so"
    line EMOFLEET__RUNTIME__VAD "$RUNTIME/silero_vad.onnx"
    line EMOFLEET__MODEL__DIR "$ROOT/models/default"
    # How the tests reach the brokers' own controls: vhosts to isolate them, restarts to try them.
    fact EMOFLEET_TEST_RABBITMQCTL "$ROOT/stack/rabbitmqctl.sh"
    fact EMOFLEET_TEST_RABBITMQ "$ROOT/stack/rabbitmq.sh"
    fact EMOFLEET_TEST_POSTGRES "$ROOT/stack/postgres.sh"
    fact EMOFLEET_TEST_S3 "$ROOT/stack/s3.sh"
    fact EMOFLEET_STACK_KINDS "amqp=$(kind_of AMQP) postgres=$(kind_of POSTGRES) s3=$(kind_of S3)"
  } >"$ENV_FILE.new"
  chmod 600 "$ENV_FILE.new"
  mv "$ENV_FILE.new" "$ENV_FILE"
}

# Read it into this shell.
load_environment() {
  [[ -f "$ENV_FILE" ]] || die "there is no stack yet: run ./run.sh (or stack/up.sh) first."
  forget_own_settings
  # shellcheck disable=SC1090
  . "$ENV_FILE"
}

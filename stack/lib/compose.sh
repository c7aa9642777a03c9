# shellcheck shell=bash
# The services as containers, for machines with Docker; and the kind of each of the three services.
#
# Kinds, written to .stack/kinds by up.sh: native (a process of this stack), compose, external (named in the environment).

KINDS_FILE="$STACK/kinds"
COMPOSE_ENV="$STACK/compose.env"

# kind_of AMQP|POSTGRES|S3
kind_of() { sed -n "s/^$1=//p" "$KINDS_FILE" 2>/dev/null | tail -n 1; }

# Docker needs all three: the client, a running engine and the compose plugin.
compose_available() {
  command -v docker >/dev/null 2>&1 && timeout 20 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

compose() { docker compose --file "$ROOT/docker-compose.yml" --env-file "$COMPOSE_ENV" "$@"; }

exec_in_compose() { compose exec -T "$@"; }

write_compose_env() {
  (
    umask 077
    cat >"$COMPOSE_ENV" <<ENV
EMOFLEET_AMQP_PASSWORD=$(secret AMQP_PASSWORD)
EMOFLEET_POSTGRES_PASSWORD=$(secret POSTGRES_PASSWORD)
EMOFLEET_S3_ACCESS_KEY=$(secret S3_ACCESS_KEY)
EMOFLEET_S3_SECRET_KEY=$(secret S3_SECRET_KEY)
EMOFLEET_S3_BUCKET=$1
EMOFLEET_AMQP_PORT=$(port amqp)
EMOFLEET_POSTGRES_PORT=$(port postgres)
EMOFLEET_S3_PORT=$(port s3)
ENV
  )
}

compose_running() { [[ -n "$(compose ps --quiet --status running "$1" 2>/dev/null)" ]]; }

# compose_start BUCKET SERVICE... : starts them and waits until they are healthy.
compose_start() {
  local bucket="$1" log="$STACK/log/compose.log" service
  shift
  write_compose_env "$bucket"
  for service in "$@"; do
    if [[ -n "${EMOFLEET_STARTED_LIST:-}" ]] && ! compose_running "$service"; then echo "$service" >>"$EMOFLEET_STARTED_LIST"; fi
  done
  say "starting with docker compose: $*"
  compose up --detach --wait --wait-timeout 300 "$@" >"$log" 2>&1 || die "docker compose could not start the services." "$log"
}

# delegated_to_compose KIND SERVICE VERB: for the service scripts. Succeeds when the service is a container or external,
# and the verb was carried out here; fails when the service is a process of this stack.
delegated_to_compose() {
  local kind="$1" service="$2" verb="$3"
  case "$(kind_of "$kind")" in
    compose)
      case "$verb" in
        start) compose up --detach --wait "$service" >/dev/null ;;
        stop | restart | kill) compose "$verb" "$service" >/dev/null ;;
        status) compose_running "$service" ;;
        *) return 1 ;;
      esac || exit 1
      ;;
    external)
      case "$verb" in
        stop | status) ;;
        *) die "$service is external (named in the environment): this stack does not start or stop it." ;;
      esac
      ;;
    *) return 1 ;;
  esac
}

# shellcheck shell=bash
# The services as containers, for machines with Docker.

COMPOSE_ENV="$STACK/compose.env"
DATABASE_ROLES=(WORKER PRODUCER DISPATCHER CONSOLE READER)
PROJECT_FILE="$STACK/project" # NAME, PLACE and PASSWORDS: see the functions below

# Docker needs all three: the client, a running engine and the compose plugin.
compose_available() {
  command -v docker >/dev/null 2>&1 && timeout 20 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

# The name of this stack's containers, network and volumes: from a hash of its folder, so that two checkouts never share
# them. The name is kept, so that a folder that was moved finds its volumes; a copy of a folder gets a name of its own.
compose_project() {
  local name='' place=''
  if [[ -f "$PROJECT_FILE" ]]; then
    name="$(sed -n 's/^NAME=//p' "$PROJECT_FILE")"
    place="$(sed -n 's/^PLACE=//p' "$PROJECT_FILE")"
  fi
  if [[ -n "$name" ]] && [[ "$place" == "$STACK" || ! -e "$place/project" ]]; then
    printf '%s' "$name"
  else
    printf 'emofleet-%s' "$(printf '%s' "$STACK" | sha256sum | head -c 10)"
  fi
}

# compose ARGS... : docker compose with this stack's name and passwords, whatever the shell has in its environment.
compose() {
  local role
  local -a others=()
  complete_compose_env
  for role in "${DATABASE_ROLES[@]}"; do others+=(-u "EMOFLEET_POSTGRES_PASSWORD_$role"); done
  env -u COMPOSE_FILE -u COMPOSE_PROFILES -u EMOFLEET_AMQP_PASSWORD -u EMOFLEET_POSTGRES_PASSWORD "${others[@]}" -u EMOFLEET_S3_ACCESS_KEY \
    -u EMOFLEET_S3_SECRET_KEY -u EMOFLEET_AMQP_PORT -u EMOFLEET_POSTGRES_PORT -u EMOFLEET_S3_PORT \
    COMPOSE_PROJECT_NAME="$(compose_project)" docker compose --file "$ROOT/docker-compose.yml" --env-file "$COMPOSE_ENV" "$@"
}

# What a stack of an earlier version has not in its file: docker compose refuses every command without it.
complete_compose_env() {
  local role
  [[ -f "$COMPOSE_ENV" ]] || return 0
  for role in "${DATABASE_ROLES[@]}"; do
    grep -q "^EMOFLEET_POSTGRES_PASSWORD_$role=" "$COMPOSE_ENV" ||
      printf 'EMOFLEET_POSTGRES_PASSWORD_%s=%s\n' "$role" "$(secret "POSTGRES_PASSWORD_$role")" >>"$COMPOSE_ENV"
  done
}

exec_in_compose() { compose exec -T "$@"; }

write_compose_env() {
  (
    umask 077
    cat >"$COMPOSE_ENV" <<ENV
COMPOSE_PROJECT_NAME=$(compose_project)
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
  # Programs on the host log in as the owner. Roles are for those who start the programs of docker-compose.yml beside them.
  complete_compose_env
}

compose_running() { [[ -n "$(compose ps --quiet --status running "$1" 2>/dev/null)" ]]; }

passwords_digest() { printf '%s %s' "$(secret AMQP_PASSWORD)" "$(secret POSTGRES_PASSWORD)" | sha256sum | head -c 16; }

# RabbitMQ and Postgres take their passwords into their volumes at the first start, and later ones have no effect. Volumes
# that were made with other passwords are reported before any container is created.
check_volumes() {
  local volumes made_with=''
  volumes="$(docker volume ls --quiet --filter "label=com.docker.compose.project=$(compose_project)" | xargs)"
  [[ ! -f "$PROJECT_FILE" ]] || made_with="$(sed -n 's/^PASSWORDS=//p' "$PROJECT_FILE")"
  [[ -z "$volumes" || "$made_with" == "$(passwords_digest)" ]] ||
    die "Docker has volumes of an earlier stack in this folder, made with other passwords than those in $SECRETS_FILE.
        To keep their data: put the earlier stack's folder (with its files 'secrets' and 'project') back to $STACK.
        To delete their data: docker compose --project-name $(compose_project) down; docker volume rm $volumes"
}

remember_project() {
  local name
  name="$(compose_project)"
  printf 'NAME=%s\nPLACE=%s\nPASSWORDS=%s\n' "$name" "$STACK" "$(passwords_digest)" >"$PROJECT_FILE.new"
  mv "$PROJECT_FILE.new" "$PROJECT_FILE"
}

# compose_start BUCKET SERVICE... : starts them and waits until they are healthy.
compose_start() {
  local bucket="$1" log="$STACK/log/compose.log" service
  local -A port_of=([rabbitmq]=amqp [postgres]=postgres [s3]=s3)
  shift
  check_volumes
  remember_project
  write_compose_env "$bucket"
  for service in "$@"; do
    if ! compose_running "$service"; then
      choose_port "${port_of[$service]}"
      if [[ -n "${EMOFLEET_STARTED_LIST:-}" ]]; then echo "$service" >>"$EMOFLEET_STARTED_LIST"; fi
    fi
  done
  write_compose_env "$bucket"
  say "starting with docker compose, as project $(compose_project): $*"
  compose up --detach --wait --wait-timeout 300 "$@" >"$log" 2>&1 || die "docker compose could not start the services." "$log"
}

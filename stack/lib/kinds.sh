# shellcheck shell=bash
# The kind of each of the three services: native (a process of this stack), compose (a container) or external (named in the
# environment). up.sh chooses once and keeps the choice in .stack/kinds, since another kind has other data.

KINDS_FILE="$STACK/kinds"

# kind_of AMQP|POSTGRES|S3
kind_of() { [[ ! -f "$KINDS_FILE" ]] || sed -n "s/^$1=//p" "$KINDS_FILE" | tail -n 1; }

# The three, with the script of each (stack/NAME.sh).
declare -A SCRIPT_OF=([AMQP]=rabbitmq [POSTGRES]=postgres [S3]=s3)

# kept_kind: native or compose, as an earlier run chose it; nothing before the first.
kept_kind() { [[ ! -f "$KINDS_FILE" ]] || sed -n 's/^[A-Z0-9]*=\(native\|compose\)$/\1/p' "$KINDS_FILE" | tail -n 1; }

# choose_kind: sets OURS to the kind of those services that the environment does not name.
choose_kind() {
  local kept wanted="${EMOFLEET_SERVICES:-}"
  kept="$(kept_kind)"
  case "$wanted" in
    native | compose) OURS="$wanted" ;;
    "") OURS="$kept" ;;
    *) die "EMOFLEET_SERVICES must be native or compose, not '$wanted'." ;;
  esac
  if [[ -z "$OURS" ]]; then
    OURS=native
    if compose_available; then
      OURS=compose
      note "a Docker engine answers: services run as containers. This choice is kept; EMOFLEET_SERVICES=native changes it"
    fi
  elif [[ "$OURS" == compose ]] && ! compose_available; then
    local source_of_kind="an earlier run"
    [[ -z "$wanted" ]] || source_of_kind=EMOFLEET_SERVICES
    die "the services are containers (chosen by $source_of_kind), and no Docker engine with its compose plugin answers: start it.
        EMOFLEET_SERVICES=native ./run.sh would start private services instead, with data of their own."
  fi
}

# wanted_kind AMQP|POSTGRES|S3
wanted_kind() {
  local -A address_of=([AMQP]=EMOFLEET__AMQP__URL [POSTGRES]=EMOFLEET__POSTGRES__URL [S3]=EMOFLEET__S3__ENDPOINT)
  if [[ -n "${!address_of[$1]:-}" ]]; then printf external; else printf '%s' "$OURS"; fi
}

# change_kinds: writes the kinds of this run. A service that had another kind before is stopped first, so that it neither
# keeps running unnoticed nor keeps its port; a container is removed, its volume stays.
change_kinds() {
  local service name before after kept lines=''
  kept="$(kept_kind)"
  for service in AMQP POSTGRES S3; do
    name="${SCRIPT_OF[$service]}" before="$(kind_of "$service")" after="$(wanted_kind "$service")"
    lines+="$service=$after"$'\n'
    if [[ "$after" == external ]]; then note "$service is external: its address is in the environment"; fi
    [[ -n "$before" && "$before" != "$after" ]] || continue
    say "$name was $before and becomes $after, with other data"
    case "$before" in
      native) "$STACK_SCRIPTS/$name.sh" stop || die "$name ($before) could not be stopped." ;;
      compose)
        if compose_available; then
          compose rm --stop --force "$name" >>"$STACK/log/compose.log" 2>&1 || die "$name ($before) could not be stopped." "$STACK/log/compose.log"
        else
          note "its container starts again with the Docker engine; 'docker compose --project-name $(compose_project) down' removes it"
        fi
        ;;
    esac
  done
  if [[ "$kept" == compose && "$OURS" != compose ]] && compose_available; then
    compose --profile '*' down >>"$STACK/log/compose.log" 2>&1 || die "the containers could not be removed." "$STACK/log/compose.log"
  fi
  printf '%s' "$lines" >"$KINDS_FILE.new"
  mv "$KINDS_FILE.new" "$KINDS_FILE"
}

# delegated KIND SERVICE VERB: for the service scripts. Succeeds when the service is a container or external, and the verb was
# carried out here; fails when the service is a process of this stack.
delegated() {
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

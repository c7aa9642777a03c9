#!/usr/bin/env bash
# Stops what up.sh and run.sh started: by recorded pid and start time, or by docker compose. Keeps the data.
# Prints what was stopped. Exit code 1, with the names, when something could not be stopped.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

exec 9>"$STACK/lock"
flock -n 9 || { say "waiting for another run of the stack's scripts" && flock 9; }

stopped=() failed=()
declare -A stopping=()

# begin NAME COMMAND... : stops NAME in the background.
begin() {
  local name="$1"
  shift
  "$@" &
  stopping[$name]=$!
}

# finish: waits for all that begin has started, and keeps the outcome of each.
finish() {
  local name
  for name in "${!stopping[@]}"; do
    if wait "${stopping[$name]}"; then stopped+=("$name"); else failed+=("$name"); fi
  done
  stopping=()
}

# The console first: it takes no new uploads.
if running console; then begin console "$STACK_SCRIPTS/console.sh" stop; fi
finish
for record in "$STACK"/run/worker-*.pid; do
  [[ -e "$record" ]] || continue
  name="$(basename "$record" .pid)"
  running "$name" || continue
  begin "$name" "$STACK_SCRIPTS/worker.sh" stop "${name#worker-}"
done
finish # workers drain while their services still run
# After the workers: the dispatcher sends the alerts that they still raise.
if running dispatcher; then begin dispatcher "$STACK_SCRIPTS/dispatcher.sh" stop; fi
finish

# The services stop independently of each other. The containers are removed, together with those of the profile `app`
# that somebody may have started beside them.
places=()
for service in AMQP POSTGRES S3; do
  if [[ "$(kind_of "$service")" == native ]] && running "${SCRIPT_OF[$service]}"; then
    begin "${SCRIPT_OF[$service]}" "$STACK_SCRIPTS/${SCRIPT_OF[$service]}.sh" stop
  fi
  if [[ "$(kind_of "$service")" == native ]]; then places[0]="$STACK"; fi
done
if [[ -n "${places[0]:-}" && -L "$STACK/postgres" ]]; then places+=("$(readlink "$STACK/postgres")"); fi
if [[ "$(kept_kind)" == compose ]]; then
  places+=("the volumes of $(compose_project)")
  begin "the containers of $(compose_project)" compose --progress quiet --profile '*' down
fi
finish

list() { printf '%s\n' "$@" | sort | paste -sd, - | sed 's/,/, /g'; }
if ((${#failed[@]})); then die "could not stop $(list "${failed[@]}"); see above.${stopped[*]:+ Stopped: $(list "${stopped[@]}").}"; fi
if ((${#stopped[@]})); then say "stopped $(list "${stopped[@]}")"; else say "nothing was running"; fi
((${#places[@]} == 0)) || note "the data are kept in $(list "${places[@]}")"

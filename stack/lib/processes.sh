# shellcheck shell=bash
# Background processes of this stack. Each pid is recorded with the start time of its process, so that a pid which the
# kernel has since given to another process is never mistaken for ours and killed.

# started_ticks PID: clock ticks from boot to the start of the process, field 22 of its stat line. The second field may
# contain blanks and brackets, so fields are counted from the last bracket.
started_ticks() {
  local line fields
  line="$(cat "/proc/$1/stat" 2>/dev/null)" || return 1
  read -ra fields <<<"${line##*) }"
  [[ "${fields[0]}" != Z ]] || return 1 # a zombie has ended, even if its parent has not collected it yet
  printf '%s' "${fields[19]}"
}

# launch NAME COMMAND...: detached from this terminal, output to log/NAME.log.
# exec keeps the pid, so the recorded process is the service itself.
launch() {
  local name="$1" log="$STACK/log/$1.log" record="$STACK/run/$1.pid" pid=
  shift
  if [[ -s "$log" ]]; then mv -f "$log" "$log.1"; fi
  rm -f "$record"
  # shellcheck disable=SC2016 # $$ and $1 belong to the inner shell
  RECORD="$record" setsid nohup bash -c 'echo $$ >"$RECORD.new" && mv "$RECORD.new" "$RECORD"; unset RECORD; exec "$@"' \
    launch "$@" </dev/null >"$log" 2>&1 9>&- &
  disown
  for _ in {1..100}; do
    [[ -s "$record" ]] && break
    sleep 0.05
  done
  pid="$(cat "$record" 2>/dev/null)" || die "could not start $name." "$log"
  echo "$pid $(started_ticks "$pid" || echo 0)" >"$record"
  if [[ -n "${EMOFLEET_STARTED_LIST:-}" ]]; then echo "$name" >>"$EMOFLEET_STARTED_LIST"; fi
}

# pid_of NAME: prints its pid; fails when it does not run.
pid_of() {
  local pid ticks
  read -r pid ticks 2>/dev/null <"$STACK/run/$1.pid" || return 1
  [[ "$(started_ticks "$pid")" == "$ticks" ]] || return 1
  printf '%s' "$pid"
}

running() { pid_of "$1" >/dev/null; }

# wait_until NAME SECONDS CHECK...: polls CHECK until it succeeds; fails at once when the process has ended.
wait_until() {
  local name="$1" seconds="$2" until_time
  shift 2
  until_time=$(($(date +%s) + seconds))
  until "$@"; do
    running "$name" || die "$name ended during its start." "$STACK/log/$name.log"
    (($(date +%s) < until_time)) || die "$name was not ready after $seconds s." "$STACK/log/$name.log"
    sleep 0.2
  done
}

# end NAME [SIGNAL] [SECONDS] [quietly]: sends the signal, waits, and sends SIGKILL after SECONDS.
end() {
  local name="$1" signal="${2:-TERM}" seconds="${3:-20}" quietly="${4:-}" pid tenths=0
  if pid="$(pid_of "$name")"; then
    kill -s "$signal" "$pid" 2>/dev/null || true
    while running "$name"; do
      if ((tenths++ >= seconds * 10)); then
        [[ -n "$quietly" ]] || note "$name (pid $pid) did not stop within $seconds s; killing it"
        kill -s KILL "$pid" 2>/dev/null || true
        sleep 0.5
        break
      fi
      sleep 0.1
    done
  fi
  rm -f "$STACK/run/$name.pid"
}

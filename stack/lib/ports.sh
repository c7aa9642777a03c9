# shellcheck shell=bash
# Ports on loopback. Each has a default below the ephemeral range, so that no outgoing connection uses it. When another
# program listens on it, the next free port is used and remembered.

declare -A DEFAULT_PORT=( # and worker_N: 27480 + N, see worker.sh
  [console]=7860 [dispatcher]=27480
  [amqp]=27672 [amqp_dist]=27673 [epmd]=27674
  [postgres]=27432
  [s3]=27333 [s3_grpc]=27334 [s3_master]=27335 [s3_master_grpc]=27336
  [s3_filer]=27337 [s3_filer_grpc]=27338 [s3_volume]=27339 [s3_volume_grpc]=27340
)

# port_taken PORT: does a program listen there? One that listens on 0.0.0.0 answers on loopback too.
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port NAME: prints the remembered port, else the default.
port() {
  local kept=
  [[ -f "$PORTS_FILE" ]] && kept="$(sed -n "s/^$1=//p" "$PORTS_FILE" | tail -n 1)"
  printf '%s' "${kept:-${DEFAULT_PORT[$1]}}"
}

# Stacks that start at the same moment must not choose the same port. A choice is claimed for two minutes, until its
# service listens there, in a folder that all stacks of this account share.
CLAIMS="${TMPDIR:-/tmp}/emofleet-ports-$EUID"

claimed_by_another() {
  [[ -n "$(find "$CLAIMS/$1" -mmin -2 2>/dev/null)" && "$(cat "$CLAIMS/$1" 2>/dev/null)" != "$STACK" ]]
}

# choose_port NAME: remembers a free port. Called before a service starts: a listener on its port is another program.
choose_port() {
  local name="$1" wanted candidate used
  touch "$PORTS_FILE"
  mkdir -p "$CLAIMS" 2>/dev/null || true
  # The name can be guessed, and the place is everyone's: a folder of another account is not written to.
  [[ -d "$CLAIMS" && ! -L "$CLAIMS" && -O "$CLAIMS" ]] || CLAIMS="$STACK/claims"
  mkdir -p "$CLAIMS"
  chmod 700 "$CLAIMS"
  exec 8>"$CLAIMS/lock"
  flock 8
  wanted="$(port "$name")"
  candidate="$wanted"
  used=" $(sed -n 's/^[a-z0-9_]*=//p' "$PORTS_FILE" | tr '\n' ' ') ${DEFAULT_PORT[*]} "
  while port_taken "$candidate" || claimed_by_another "$candidate" ||
    { [[ "$candidate" != "$wanted" ]] && [[ "$used" == *" $candidate "* ]]; }; do
    candidate=$((candidate + 1))
    ((candidate < wanted + 500)) || die "no free port near $wanted for $name on 127.0.0.1."
  done
  [[ "$candidate" == "$wanted" ]] || note "port $wanted is taken; $name uses $candidate"
  echo "$STACK" >"$CLAIMS/$candidate"
  exec 8>&-
  {
    grep -v "^$name=" "$PORTS_FILE" || true
    echo "$name=$candidate"
  } >"$PORTS_FILE.new"
  mv "$PORTS_FILE.new" "$PORTS_FILE"
}

# http_status PORT PATH: prints the status code, or nothing when the port does not answer. Needs no curl.
http_status() {
  local line=
  {
    exec 4<>"/dev/tcp/127.0.0.1/$1" || return 0
    printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&4
    read -r -t 5 line <&4 || true
    exec 4>&-
  } 2>/dev/null
  line="${line#* }"
  printf '%s' "${line%% *}"
}

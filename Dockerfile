# Two small images without a shell:
#   --target worker     `worker` with ONNX Runtime, the voice activity detector and the default model
#   --target services   `producer`, `dispatcher` and `console`, which need none of these
# docs/containers.md has the commands. Base images can be replaced (a mirror, a digest) by the two arguments below.
ARG DEBIAN_IMAGE=debian:bookworm-slim
ARG RUST_IMAGE=rust:1.95-slim-bookworm

# ONNX Runtime: pinned and checked by hash in stack/wheels.lock.
FROM ${DEBIAN_IMAGE} AS runtime
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
# An index of one's own: --build-arg PIP_INDEX_URL=https://...
ARG PIP_INDEX_URL
COPY stack /src/stack
RUN EMOFLEET_STACK_DIR=/stack /src/stack/runtime.sh

# What the programs need of Debian, and nothing else: the C and C++ libraries and certificate authorities.
FROM ${DEBIAN_IMAGE} AS root
COPY containers/root.sh /
RUN /root.sh /image

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock LICENSE ./
COPY config config
COPY console console
COPY containers containers
COPY crates crates
COPY dispatcher dispatcher
COPY migrations migrations
COPY models/vad/silero_vad_blocks.onnx models/vad/
COPY producer producer
COPY samples samples
COPY tests/Cargo.toml tests/
COPY worker worker
# Cargo reads this; 3 is the default of a release build.
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL=3
RUN --mount=type=cache,id=emofleet-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=emofleet-target,target=/target,sharing=locked \
    CARGO_TARGET_DIR=/target/$(uname -m) containers/build.sh build /out

FROM scratch AS base
COPY --from=root /image /
COPY LICENSE /usr/share/doc/emofleet/LICENSE
COPY --from=build /out/THIRD-PARTY.txt /usr/share/doc/emofleet/
ENV PATH=/usr/local/bin
USER 10001:10001
# Writable for every user, so that `docker run --user` and a mount at /data need no preparation.
WORKDIR /data
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="emofleet" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM base AS services
LABEL org.opencontainers.image.title="emofleet-services" \
      org.opencontainers.image.description="Enqueues recordings, follows batches and delivers alerts of the emofleet fleet"
# One line for each program; containers/build.sh names them too.
COPY --from=build /out/producer /out/dispatcher /out/console /usr/local/bin/
ENTRYPOINT ["producer"]
CMD ["--help"]

# The last stage is what `docker build .` makes without a target.
FROM base AS worker
LABEL org.opencontainers.image.title="emofleet-worker" \
      org.opencontainers.image.description="Speech emotion recognition on the jobs of the emofleet fleet, or on local files"
COPY --from=runtime /stack/runtime/libonnxruntime.so /opt/emofleet/runtime/
COPY --from=runtime /stack/runtime/*.licences.txt /usr/share/doc/emofleet/
COPY models/default/model.onnx models/default/model.json /opt/emofleet/model/
COPY models/default/README.md /usr/share/doc/emofleet/model.md
COPY models/vad/LICENSE /usr/share/doc/emofleet/silero_vad.licence.txt
COPY --from=build /out/worker /usr/local/bin/
ENV EMOFLEET__RUNTIME__ONNXRUNTIME=/opt/emofleet/runtime/libonnxruntime.so \
    EMOFLEET__MODEL__DIR=/opt/emofleet/model
ENTRYPOINT ["worker"]
CMD ["run"]

# syntax=docker/dockerfile:1
# Worker, producer and dispatcher in one image, for docker compose --profile app.

# ONNX Runtime and the voice detector: the same pinned, hash-checked files as without Docker.
FROM debian:bookworm-slim AS runtime
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
COPY stack /src/stack
RUN EMOFLEET_STACK_DIR=/stack /src/stack/runtime.sh

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin worker --bin producer --bin dispatcher \
    && cp target/release/worker target/release/producer target/release/dispatcher /usr/local/bin/

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin emofleet
COPY --from=runtime /stack/runtime/libonnxruntime.so /stack/runtime/silero_vad.onnx /opt/emofleet/runtime/
COPY models/default/model.onnx models/default/model.json /opt/emofleet/model/
COPY --from=build /usr/local/bin/worker /usr/local/bin/producer /usr/local/bin/dispatcher /usr/local/bin/
ENV EMOFLEET__RUNTIME__ONNXRUNTIME=/opt/emofleet/runtime/libonnxruntime.so \
    EMOFLEET__RUNTIME__VAD=/opt/emofleet/runtime/silero_vad.onnx \
    EMOFLEET__MODEL__DIR=/opt/emofleet/model
USER 10001
ENTRYPOINT ["worker"]
CMD ["run"]

"""The peer: FunASR as tasks of Celery, as a team would write it that has RabbitMQ, S3 and Postgres and no emofleet.

Each process of the pool has the model, one connection to Postgres and one client of S3. A task is acknowledged when its
row and its result are written, and redelivered when its process dies. The environment says where the services are.
"""

import contextlib
import io
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime

import boto3
import numpy as np
import psycopg
import soundfile
from celery import Celery
from celery.signals import worker_process_init

SAMPLE_RATE = 16_000
THREADS = int(os.environ.get("PEER_THREADS", "1"))
TABLES = """
CREATE TABLE IF NOT EXISTS peer_results (
    run text, key text, scores real[], started_at timestamptz, finished_at timestamptz, PRIMARY KEY (run, key));
CREATE TABLE IF NOT EXISTS peer_processes (run text, pid integer);
"""

app = Celery("peer_fleet", broker=os.environ.get("PEER_BROKER"))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue="peer",
    # A task takes longer than its message travels: none waits in a process while another process is free.
    worker_prefetch_multiplier=1,
    # A process has loaded the model before it takes part.
    worker_proc_alive_timeout=300.0,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)


@dataclass
class Process:
    """What a process of the pool has."""

    model: object
    database: psycopg.Connection
    store: object
    bucket: str


# Set once in each process of the pool, before its first task.
here: Process | None = None


@worker_process_init.connect
def start(**_) -> None:
    """Loads the model, connects, and says in `peer_processes` that this process is ready."""
    global here
    import torch

    torch.set_num_threads(THREADS)
    with contextlib.redirect_stdout(io.StringIO()):
        from funasr import AutoModel

        model = AutoModel(
            model=os.environ["PEER_MODEL"],
            device="cpu",
            ncpu=THREADS,
            disable_update=True,
            disable_pbar=True,
            log_level="ERROR",
        )
    database = psycopg.connect(os.environ["EMOFLEET__POSTGRES__URL"], autocommit=True)
    here = Process(model, database, client(), os.environ["EMOFLEET__S3__BUCKET"])
    predict(np.zeros(SAMPLE_RATE, dtype=np.float32))  # the first call allocates
    database.execute("INSERT INTO peer_processes VALUES (%s, %s)", (os.environ["PEER_RUN"], os.getpid()))


@app.task(name="score", autoretry_for=(OSError, psycopg.OperationalError), retry_backoff=True, max_retries=5)
def score(run: str, key: str) -> None:
    """Scores a recording of the bucket: its row in `peer_results`, and its scores and embedding as an object."""
    started = datetime.now(UTC)
    body = here.store.get_object(Bucket=here.bucket, Key=key)["Body"].read()
    result = predict(decode(body))
    scores = [float(value) for value in result["scores"]]
    answer = {"key": key, "labels": result["labels"], "scores": scores, "embedding": result["feats"].tolist()}
    here.store.put_object(
        Bucket=here.bucket,
        Key=f"peer_results/{run}/{key}.json",
        Body=json.dumps(answer).encode(),
        ContentType="application/json",
    )
    here.database.execute(
        "INSERT INTO peer_results VALUES (%s, %s, %s, %s, clock_timestamp()) ON CONFLICT (run, key) DO UPDATE "
        "SET scores = EXCLUDED.scores, finished_at = EXCLUDED.finished_at",
        (run, key, scores, started),
    )


def decode(body: bytes) -> np.ndarray:
    """A recording's bytes as mono samples at 16 kHz, f32 [samples]."""
    samples, rate = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if rate == SAMPLE_RATE:
        return mono
    import soxr

    return soxr.resample(mono, rate, SAMPLE_RATE)


def predict(samples: np.ndarray) -> dict:
    """FunASR's `generate()`: `labels`, `scores` and `feats` of the utterance."""
    with contextlib.redirect_stdout(io.StringIO()):
        (result,) = here.model.generate(samples, granularity="utterance", disable_pbar=True)
    return result


def client():
    """A client of the store."""
    return boto3.client(
        "s3",
        endpoint_url=os.environ["EMOFLEET__S3__ENDPOINT"],
        region_name=os.environ["EMOFLEET__S3__REGION"],
        aws_access_key_id=os.environ["EMOFLEET__S3__ACCESS_KEY"],
        aws_secret_access_key=os.environ["EMOFLEET__S3__SECRET_KEY"],
    )

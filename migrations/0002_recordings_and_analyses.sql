-- What was enqueued, and the state of each job.

CREATE TABLE batches (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    source     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE batches IS 'Jobs that were enqueued together. Enqueuing the same source again continues its batch.';
COMMENT ON COLUMN batches.id IS 'UUIDv5 of the name.';
COMMENT ON COLUMN batches.name IS
    'As given to `producer enqueue`; the id itself for jobs that other programs published.';
COMMENT ON COLUMN batches.source IS
    'Where the keys came from: a prefix, a manifest, a folder; `message` when the job was first seen in the queue.';

CREATE TABLE recordings (
    id          uuid PRIMARY KEY,
    bucket      text NOT NULL,
    key         text NOT NULL,
    etag        text NOT NULL DEFAULT '',
    call_id     text,
    agent       text,
    team        text,
    customer    text,
    started_at  timestamptz,
    attributes  jsonb NOT NULL DEFAULT '{}',
    call_data_version text,
    container   text,
    codec       text,
    sample_rate integer,
    channels    smallint,
    duration_s  double precision,
    bytes       bigint,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT recordings_object UNIQUE (bucket, key, etag)
);

COMMENT ON TABLE recordings IS 'One version of one object in the store: the call data, and the properties of the file.';
COMMENT ON COLUMN recordings.id IS 'UUIDv5 of bucket, key and etag.';
COMMENT ON COLUMN recordings.etag IS
    'Version of the object, without quotes; empty when the job did not name one.';
COMMENT ON COLUMN recordings.call_id IS
    'The call''s id in the telephone system. A call may have several recordings.';
COMMENT ON COLUMN recordings.agent IS 'The employee who took the call.';
COMMENT ON COLUMN recordings.customer IS 'The caller, as an opaque number rather than a name.';
COMMENT ON COLUMN recordings.started_at IS
    'When the call began, by its call data; NULL when they have no time. May be wrong: plausible_call_time() judges it.';
COMMENT ON COLUMN recordings.created_at IS
    'The ingestion: when the recording was first registered, by the clock of this server.';
COMMENT ON COLUMN recordings.attributes IS
    'Every other column of the manifest: {"name": "text"}. Ask with attributes->>''name''.';
COMMENT ON COLUMN recordings.call_data_version IS
    'Which sidecar file or manifest line `producer watch` took the call data from: a hash of its content. NULL: none.';
COMMENT ON COLUMN recordings.container IS
    'By content, not by file name: wav, mp4, ogg ... NULL until analysed, like every column from here to bytes.';
COMMENT ON COLUMN recordings.sample_rate IS 'Hz, of the file.';
COMMENT ON COLUMN recordings.channels IS 'Number of channels in the file.';
COMMENT ON COLUMN recordings.duration_s IS 'Seconds, by the samples decoded.';
COMMENT ON COLUMN recordings.bytes IS 'Size of the file.';

-- Clocks that were never set and wrong units give dates in 1970, year 1 or 2099. Retention by such a date would delete a
-- call at once or never. The earliest year is that of producer/src/dates.
CREATE FUNCTION plausible_call_time(started_at timestamptz, ingested_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN started_at >= timestamptz '1990-01-01 00:00:00+00'
                 AND started_at <= ingested_at + interval '24 hours' THEN started_at END
$$;
COMMENT ON FUNCTION plausible_call_time IS
    'The begin of a call by its call data when that is plausible: from 1990 on, and no more than a day after the '
    'ingestion. NULL otherwise.';

CREATE TABLE analyses (
    job_id          uuid PRIMARY KEY,
    recording_id    uuid NOT NULL REFERENCES recordings ON DELETE CASCADE,
    batch_id        uuid REFERENCES batches ON DELETE SET NULL,
    called_at       timestamptz NOT NULL,
    status          text NOT NULL DEFAULT 'queued',
    repeat          text,
    state           text GENERATED ALWAYS AS (coalesce(repeat, status)) STORED,
    emotion         emotion,
    confidence      real,
    score_angry     real,
    score_disgusted real,
    score_fearful   real,
    score_happy     real,
    score_neutral   real,
    score_other     real,
    score_sad       real,
    score_surprised real,
    score_unknown   real,
    speech_s        double precision,
    warnings        text[] NOT NULL DEFAULT '{}',
    failure_code    text,
    failure_message text,
    set_aside       boolean NOT NULL DEFAULT false,
    repeat_failure_code    text,
    repeat_failure_message text,
    model_name      text NOT NULL,
    model_version   text,
    model_sha256    text,
    options         jsonb NOT NULL DEFAULT '{}',
    lane            text NOT NULL DEFAULT 'bulk',
    max_seconds     integer,
    run             integer NOT NULL DEFAULT 0,
    attempt         uuid,
    attempts        integer NOT NULL DEFAULT 0,
    unfinished      integer NOT NULL DEFAULT 0,
    retries         integer NOT NULL DEFAULT 0,
    worker          text,
    submitted_at    timestamptz NOT NULL,
    published_at    timestamptz,
    started_at      timestamptz,
    finished_at     timestamptz,
    timings         jsonb,
    artifact_bucket text,
    result_key      text,
    audio_key       text,
    embedding_key   text,
    embedding       real[],
    CONSTRAINT analyses_status CHECK (
        status IN ('queued', 'running', 'retrying', 'done', 'failed', 'deleting')
    ),
    CONSTRAINT analyses_repeat CHECK (repeat IS NULL OR (status = 'done' AND repeat IN ('queued', 'running', 'retrying'))),
    CONSTRAINT analyses_done_has_scores CHECK (
        status <> 'done' OR (finished_at IS NOT NULL AND (emotion IS NULL) = (score_angry IS NULL)
                             AND (emotion IS NOT NULL OR speech_s = 0))
    ),
    CONSTRAINT analyses_failed_has_code CHECK (
        status <> 'failed' OR (failure_code IS NOT NULL AND finished_at IS NOT NULL)
    ),
    CONSTRAINT analyses_of_call UNIQUE (job_id, called_at)
);

COMMENT ON TABLE analyses IS
    'One row per job: a recording, analysed by one model with one set of options. The same job enqueued or delivered '
    'again is the same row.';
COMMENT ON COLUMN analyses.job_id IS
    'UUIDv5 of object, model and options; also the AMQP message_id and the folder of the artifacts.';
COMMENT ON COLUMN analyses.called_at IS
    'When the call began: recordings.started_at where that is plausible, else the ingestion (recordings.created_at). '
    'Retention, days and months go by it. Kept the same by a trigger on recordings.';
COMMENT ON COLUMN analyses.status IS
    'queued, running, retrying (a transient failure; tried again later), done, failed (see failure_code), '
    'deleting (claimed by `producer prune`: its objects go first, then the row).';
COMMENT ON COLUMN analyses.repeat IS
    'queued, running or retrying while a job that is done is analysed again (`enqueue --force`): its result stays until '
    'the new one is recorded. NULL otherwise.';
COMMENT ON COLUMN analyses.state IS 'Where the job stands: repeat while there is a repetition under way, else status.';
COMMENT ON COLUMN analyses.emotion IS
    'Likeliest emotion over all scored speech. NULL until done, like the scores, and for calls without speech.';
COMMENT ON COLUMN analyses.confidence IS 'Probability of that emotion, 0 to 1.';
COMMENT ON COLUMN analyses.score_angry IS
    'The nine scores: mean of the segments'' probabilities, weighted by their seconds; they sum to 1.';
COMMENT ON COLUMN analyses.speech_s IS
    'Seconds of speech on the scored channels; 0: nothing is said there, which is a result.';
COMMENT ON COLUMN analyses.warnings IS
    'Codes of what makes the result worth less, like channels.not_separated; result.json has the sentences.';
COMMENT ON COLUMN analyses.failure_code IS
    'Stable code, like audio.unsupported_codec, of a failed job or of the latest transient failure. NULL once done.';
COMMENT ON COLUMN analyses.set_aside IS
    'The failure is that of a message that was set aside before any attempt: refused, dead-lettered by RabbitMQ, or dropped. '
    'A good message of the job begins it all the same.';
COMMENT ON COLUMN analyses.repeat_failure_code IS
    'Code of a repetition that failed, or of its latest transient failure: the result beside it is the earlier one.';
COMMENT ON COLUMN analyses.options IS
    '{"channels": ..., "granularity": "utterance" or "frame", "embedding": true or false}, as the job asked.';
COMMENT ON COLUMN analyses.lane IS 'bulk or interactive: where the message was published, and is published again when it is lost.';
COMMENT ON COLUMN analyses.max_seconds IS 'Longest recording that the sender wants analysed, seconds; NULL: the worker''s own limit.';
COMMENT ON COLUMN analyses.run IS
    'How often a result was asked for again. Each run has artifact keys of its own: 0 the folder of the job, others a '
    'folder in it.';
COMMENT ON COLUMN analyses.attempt IS
    'Token of the attempt that began last: only it may write the row. NULL once the job is asked for again.';
COMMENT ON COLUMN analyses.attempts IS 'How often a worker has begun the job.';
COMMENT ON COLUMN analyses.unfinished IS
    'Attempts begun since one last ended. Above worker.max_attempts_unfinished the job is taken to be what kills '
    'workers, and fails.';
COMMENT ON COLUMN analyses.retries IS 'Transient failures so far.';
COMMENT ON COLUMN analyses.worker IS 'The worker that began it last.';
COMMENT ON COLUMN analyses.submitted_at IS 'When the producer made the job.';
COMMENT ON COLUMN analyses.published_at IS
    'When RabbitMQ confirmed the message. NULL: it may never have arrived, and the next enqueue publishes it.';
COMMENT ON COLUMN analyses.started_at IS 'When the latest attempt began.';
COMMENT ON COLUMN analyses.timings IS
    'Milliseconds by stage: queued_ms, fetch_ms, preprocess_ms (of it decode_ms, resample_ms, vad_ms), infer_ms (waiting for '
    'predictions; model_ms is what the model ran), upload_ms, total_ms.';
COMMENT ON COLUMN analyses.result_key IS
    'Keys of the artifacts in artifact_bucket: result.json, processed_audio.wav or processed_audio.flac, embedding.npy.';
COMMENT ON COLUMN analyses.embedding IS
    'Embedding of the recording in the model''s space; NULL when the job asked for none.';

-- A corrected time of a call, by a manifest or by hand, reaches every copy: the foreign keys of segments, channels and
-- alerts cascade from here, and segments change their partition. With the rights of the schema's owner, since whoever
-- may correct call data need not be allowed to change results.
CREATE FUNCTION called_at_follows_recording() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    moment timestamptz := coalesce(plausible_call_time(NEW.started_at, NEW.created_at), NEW.created_at);
BEGIN
    UPDATE analyses SET called_at = moment WHERE recording_id = NEW.id AND called_at <> moment;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION called_at_follows_recording IS
    'Trigger: a corrected time of a recording reaches its analyses, and from there segments, channels and alerts.';
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION called_at_follows_recording() SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION called_at_follows_recording() FROM PUBLIC;
CREATE TRIGGER called_at_follows_recording AFTER UPDATE ON recordings FOR EACH ROW
    WHEN ((OLD.started_at, OLD.created_at) IS DISTINCT FROM (NEW.started_at, NEW.created_at))
    EXECUTE FUNCTION called_at_follows_recording();

-- Deleted on purpose, so that a late message, a replay or the next enqueue of the same bucket brings nothing back.
CREATE TABLE forgotten (
    id         uuid PRIMARY KEY,
    run        integer NOT NULL DEFAULT 0,
    deleted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE forgotten IS
    'Jobs and recordings that were deleted, by their ids alone, which are hashes. They end as job.deleted unless they are '
    'enqueued with --force; `producer watch` leaves such recordings out.';
COMMENT ON COLUMN forgotten.id IS 'A job_id, or the id of a recording: another job of the same version is forgotten as well.';
COMMENT ON COLUMN forgotten.run IS 'Run of the job when it was deleted: artifacts of this and earlier runs are leftovers.';

-- A recording whose rows were deleted, by whatever statement, may still be in the store.
CREATE FUNCTION recordings_are_forgotten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO forgotten (id) SELECT id FROM gone ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION recordings_are_forgotten IS 'Trigger: keeps the ids of deleted recordings.';
CREATE TRIGGER recordings_are_forgotten AFTER DELETE ON recordings REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION recordings_are_forgotten();

-- An enqueue that began before a deletion and waited for it would insert the row again. It sees the deletion here, and begins
-- again as after any conflict of transactions; then it leaves the job out.
CREATE FUNCTION forgotten_jobs_stay_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added a JOIN forgotten f ON f.id = a.job_id)
       OR EXISTS (SELECT FROM added a JOIN forgotten f ON f.id = a.recording_id) THEN
        RAISE EXCEPTION 'the job was deleted while it was being inserted' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION forgotten_jobs_stay_deleted IS 'Trigger: refuses rows of jobs in forgotten.';
CREATE TRIGGER forgotten_jobs_stay_deleted AFTER INSERT ON analyses REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION forgotten_jobs_stay_deleted();

-- A clock that jumped would let a pruning by age delete what is not old. What the latest one saw is compared with the next.
CREATE TABLE last_prune (
    single    boolean PRIMARY KEY DEFAULT true CHECK (single),
    pruned_at timestamptz NOT NULL,
    boot      text NOT NULL,
    up_s      double precision NOT NULL
);
COMMENT ON TABLE last_prune IS 'One row: the latest `producer prune --older-than`.';
COMMENT ON COLUMN last_prune.single IS 'There is one row.';
COMMENT ON COLUMN last_prune.pruned_at IS 'By the clock of the machine that pruned.';
COMMENT ON COLUMN last_prune.boot IS 'Identity of that machine since it was started; empty where it tells none.';
COMMENT ON COLUMN last_prune.up_s IS 'Seconds since it was started, which no clock that is set changes.';

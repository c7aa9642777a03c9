-- Inserts or updates the rows of many jobs: $1 to $5 batch (id, name, source), force, published already; from $6 on
-- one array per column, but $20 is the lane, and $22 leaves jobs alone that have a row. Returns the jobs that need publishing: new ones, those registered but never
-- confirmed published, and with force those that had ended. What was deleted is left out, unless force asks for it.
WITH named AS (
    SELECT * FROM unnest($6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
                         $13::text[], $14::text[], $15::timestamptz[], $16::jsonb[], $17::text[],
                         $18::jsonb[], $19::timestamptz[], $21::integer[])
        AS t (job_id, recording_id, bucket, key, etag, call_id, agent, team, customer, started_at, attributes,
              model_name, options, submitted_at, max_seconds)
), revived AS (
    DELETE FROM forgotten f USING named n
     WHERE $4 AND f.id IN (n.job_id, n.recording_id)
       AND NOT EXISTS (SELECT FROM analyses a WHERE a.job_id = n.job_id AND a.status = 'deleting')
    RETURNING f.id, f.run
), input AS (
    SELECT n.* FROM named n
     WHERE $4 OR NOT EXISTS (SELECT FROM forgotten f WHERE f.id IN (n.job_id, n.recording_id))
), wanted AS (
    SELECT i.job_id, a.job_id IS NOT NULL AS known
      FROM input i LEFT JOIN analyses a USING (job_id)
     WHERE a.job_id IS NULL
        OR (a.state = 'queued' AND a.published_at IS NULL)
        OR ($4 AND a.state IN ('done', 'failed'))
), call AS (
    -- The time of each call as it will be: what the recording's row says already counts where the input says nothing.
    SELECT DISTINCT ON (i.recording_id) i.recording_id, coalesce(r.created_at, now()) AS ingested_at,
           coalesce(i.started_at, r.started_at) AS started_at
      FROM input i LEFT JOIN recordings r ON r.id = i.recording_id
     ORDER BY i.recording_id, i.started_at
), batch AS (
    INSERT INTO batches (id, name, source)
    SELECT $1, $2, $3 WHERE EXISTS (SELECT FROM wanted)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, source = excluded.source
     WHERE batches.source = 'message' AND excluded.source <> 'message'
), recording AS (
    INSERT INTO recordings (id, bucket, key, etag, call_id, agent, team, customer, started_at, attributes)
    SELECT DISTINCT ON (recording_id)
           recording_id, bucket, key, etag, call_id, agent, team, customer, started_at, attributes
      FROM input ORDER BY recording_id, started_at
    -- Call data may be corrected by enqueuing the recording again; fields that are missing this time are kept.
    ON CONFLICT (id) DO UPDATE
       SET call_id = coalesce(excluded.call_id, recordings.call_id), agent = coalesce(excluded.agent, recordings.agent),
           team = coalesce(excluded.team, recordings.team), customer = coalesce(excluded.customer, recordings.customer),
           started_at = coalesce(excluded.started_at, recordings.started_at),
           attributes = recordings.attributes || excluded.attributes
     WHERE (recordings.call_id, recordings.agent, recordings.team, recordings.customer, recordings.started_at,
            recordings.attributes)
           IS DISTINCT FROM
           (coalesce(excluded.call_id, recordings.call_id), coalesce(excluded.agent, recordings.agent),
            coalesce(excluded.team, recordings.team), coalesce(excluded.customer, recordings.customer),
            coalesce(excluded.started_at, recordings.started_at), recordings.attributes || excluded.attributes)
    RETURNING id
), inserted AS (
    INSERT INTO analyses (job_id, recording_id, batch_id, called_at, model_name, options, lane, max_seconds,
                          run, submitted_at, published_at)
    SELECT i.job_id, i.recording_id, $1, coalesce(plausible_call_time(c.started_at, c.ingested_at), c.ingested_at),
           i.model_name, i.options, $20, i.max_seconds,
           -- What was deleted may be in the hands of a worker still: its artifacts have other keys.
           coalesce((SELECT v.run + 1 FROM revived v WHERE v.id = i.job_id), 0),
           i.submitted_at, CASE WHEN $5 THEN now() END
      FROM input i JOIN call c USING (recording_id)
     -- Recordings are locked before analyses, as by workers that record results.
     WHERE (SELECT count(*) FROM recording) >= 0
     ORDER BY i.job_id
    ON CONFLICT (job_id) DO NOTHING
    RETURNING job_id
), again AS (
    UPDATE analyses a
       -- A result stays until the repetition has recorded another, under keys of its own.
       SET status = CASE WHEN a.status = 'done' THEN 'done' ELSE 'queued' END,
           repeat = CASE WHEN a.status = 'done' THEN 'queued' END,
           run    = CASE WHEN a.state = 'done' THEN a.run + 1 ELSE a.run END,
           batch_id = $1, published_at = NULL, submitted_at = i.submitted_at, attempt = NULL, set_aside = false,
           lane = $20, max_seconds = i.max_seconds,
           failure_code = NULL, failure_message = NULL, repeat_failure_code = NULL, repeat_failure_message = NULL,
           unfinished = 0, retries = 0
      FROM wanted w JOIN input i USING (job_id)
     WHERE w.known AND a.job_id = w.job_id AND NOT $22 AND (SELECT count(*) FROM recording) >= 0
       AND ((a.state = 'queued' AND a.published_at IS NULL) OR ($4 AND a.state IN ('done', 'failed')))
    RETURNING a.job_id
)
SELECT job_id FROM inserted UNION SELECT job_id FROM again

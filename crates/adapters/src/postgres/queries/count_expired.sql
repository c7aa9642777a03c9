-- What there is to forget: $1 called before (or NULL), $2 call id (or NULL).
WITH meant AS (
    SELECT a.job_id, a.called_at, a.status IN ('done', 'failed') AS ended FROM analyses a
     WHERE ($1::timestamptz IS NULL OR a.called_at < $1)
       AND ($2::text IS NULL OR a.recording_id IN (SELECT id FROM recordings WHERE call_id = $2))
       AND ($1::timestamptz IS NOT NULL OR $2::text IS NOT NULL)
)
SELECT count(*) FILTER (WHERE ended) AS analyses, count(*) FILTER (WHERE NOT ended) AS unfinished,
       min(called_at) FILTER (WHERE ended) AS earliest,
       (SELECT count(*) FROM alerts WHERE job_id IN (SELECT job_id FROM meant WHERE ended)) AS alerts,
       (SELECT count(*) FROM reviews WHERE job_id IN (SELECT job_id FROM meant WHERE ended)) AS reviews
  FROM meant

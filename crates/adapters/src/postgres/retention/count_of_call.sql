-- How much is stored about one call: $1 its id.
WITH found AS (
    SELECT a.job_id, a.called_at, a.status IN ('done', 'failed') AS ended
      FROM recordings r JOIN analyses a ON a.recording_id = r.id
     WHERE r.call_id = $1
)
SELECT count(*) FILTER (WHERE ended) AS analyses, count(*) FILTER (WHERE NOT ended) AS open,
       min(called_at) FILTER (WHERE ended) AS earliest,
       (SELECT count(*) FROM alerts WHERE job_id IN (SELECT job_id FROM found)) AS alerts,
       (SELECT count(*) FROM reviews WHERE job_id IN (SELECT job_id FROM found)) AS reviews
  FROM found

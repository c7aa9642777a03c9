-- How much is stored about one call: $1 its id.
WITH found AS (
    SELECT a.job_id, a.called_at, a.state IN ('done', 'failed', 'deleting') AS ended, r.started_at IS NOT NULL AS has_time,
           plausible_call_time(r.started_at, r.created_at) IS NOT NULL AS dated
      FROM recordings r JOIN analyses a ON a.recording_id = r.id
     WHERE r.call_id = $1
), by_year AS (
    SELECT extract(year FROM called_at AT TIME ZONE 'UTC')::integer AS year, count(*) AS analyses
      FROM found WHERE ended AND dated GROUP BY year
)
SELECT count(*) FILTER (WHERE ended) AS analyses, count(*) FILTER (WHERE NOT ended) AS open,
       min(called_at) FILTER (WHERE ended) AS earliest,
       (SELECT count(*) FROM alerts WHERE job_id IN (SELECT job_id FROM found)) AS alerts,
       (SELECT count(*) FROM reviews WHERE job_id IN (SELECT job_id FROM found)) AS reviews,
       (SELECT coalesce(array_agg(year ORDER BY year), '{}') FROM by_year) AS years,
       (SELECT coalesce(array_agg(analyses ORDER BY year), '{}') FROM by_year) AS analyses_of_years,
       count(*) FILTER (WHERE ended AND NOT has_time) AS undated,
       count(*) FILTER (WHERE ended AND has_time AND NOT dated) AS implausible,
       0::bigint AS late
  FROM found

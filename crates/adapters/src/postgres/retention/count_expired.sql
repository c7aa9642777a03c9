-- How much there is to delete by age: $1 called before, $2 whether recordings came in before as well. Reviews are few.
WITH found AS (
    SELECT a.job_id, a.recording_id, a.called_at, a.state IN ('done', 'failed', 'deleting') AS ended,
           $2 AND r.created_at >= $1 AS late, r.started_at IS NOT NULL AS has_time,
           plausible_call_time(r.started_at, r.created_at) IS NOT NULL AS dated
      FROM analyses a JOIN recordings r ON r.id = a.recording_id
     WHERE a.called_at < $1
), expired AS (
    SELECT * FROM found WHERE ended AND NOT late
), by_year AS (
    SELECT extract(year FROM called_at AT TIME ZONE 'UTC')::integer AS year, count(*) AS analyses
      FROM expired WHERE dated GROUP BY year
)
SELECT (SELECT count(*) FROM expired) AS analyses,
       (SELECT count(*) FROM found WHERE NOT ended) AS open,
       (SELECT min(called_at) FROM expired) AS earliest,
       (SELECT count(*) FROM alerts WHERE job_id IN (SELECT job_id FROM expired)) AS alerts,
       (SELECT count(*) FROM reviews WHERE job_id IN (SELECT job_id FROM expired)) AS reviews,
       (SELECT coalesce(array_agg(year ORDER BY year), '{}') FROM by_year) AS years,
       (SELECT coalesce(array_agg(analyses ORDER BY year), '{}') FROM by_year) AS analyses_of_years,
       (SELECT count(*) FROM expired WHERE NOT has_time) AS undated,
       (SELECT count(*) FROM expired WHERE has_time AND NOT dated) AS implausible,
       (SELECT count(DISTINCT recording_id) FROM found WHERE ended AND late) AS late

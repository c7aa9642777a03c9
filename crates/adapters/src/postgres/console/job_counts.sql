-- Jobs by state: $1 most open jobs that are counted, $2 most ended ones of each kind.
SELECT state, count(*) AS jobs
  FROM (SELECT state FROM analyses WHERE state IN ('queued', 'running', 'retrying') LIMIT $1) open
 GROUP BY state
UNION ALL
SELECT 'done', count(*) FROM (SELECT FROM analyses WHERE state = 'done' LIMIT $2) done
UNION ALL
SELECT 'failed', count(*) FROM (SELECT FROM analyses WHERE status = 'failed' LIMIT $2) failed

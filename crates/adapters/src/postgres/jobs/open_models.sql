-- Models for which jobs are open, by name. One step of the index analyses_open for each: there are few models and may be
-- many jobs.
WITH RECURSIVE model AS (
    (SELECT model_name FROM analyses WHERE state IN ('queued', 'running', 'retrying') ORDER BY model_name LIMIT 1)
    UNION ALL
    SELECT (SELECT a.model_name FROM analyses a
             WHERE a.state IN ('queued', 'running', 'retrying') AND a.model_name > model.model_name
             ORDER BY a.model_name LIMIT 1)
      FROM model WHERE model.model_name IS NOT NULL
)
SELECT model_name FROM model WHERE model_name IS NOT NULL

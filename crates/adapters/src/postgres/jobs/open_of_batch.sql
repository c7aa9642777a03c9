-- Jobs of a batch that are in a queue or in a worker's hands, by model: $1 batch.
SELECT model_name, count(*) AS jobs
  FROM analyses
 WHERE batch_id = $1
   AND state IN ('queued', 'running', 'retrying')
   AND published_at IS NOT NULL
 GROUP BY model_name
 ORDER BY model_name

-- Jobs for a model that are in a queue or in a worker's hands: $1 model. Those that were registered and never published are
-- none: the next `producer enqueue` publishes them. The index analyses_open has the same condition.
SELECT count(*)
  FROM analyses
 WHERE state IN ('queued', 'running', 'retrying')
   AND published_at IS NOT NULL
   AND model_name = $1

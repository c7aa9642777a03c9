-- A page of analysed calls, oldest first: $1 and $2 time and job after which the page begins, $3 called before,
-- $4 limit.
SELECT a.job_id, a.called_at, a.recording_id, r.call_id, r.agent, r.team, r.customer, r.started_at, r.attributes
  FROM analyses a JOIN recordings r ON r.id = a.recording_id
 WHERE a.status = 'done' AND (a.called_at, a.job_id) > ($1, $2) AND a.called_at < $3
   AND EXISTS (SELECT FROM channels c WHERE c.job_id = a.job_id AND c.latest)
 ORDER BY a.called_at, a.job_id
 LIMIT $4

-- Calls that a person should listen to: those with alerts, newest first, then those whose emotion is not sure. $1 since, $2 only
-- recordings of this team (or NULL), $3 and $4 place among the alerts to begin after, $5 and $6 place among the others,
-- $7 rows. A recording of which any analysis has a review is done with. The condition on the confidence is that of the
-- index analyses_unsure, written alike.
(SELECT 'alert' AS reason, al.job_id, al.fired_at AS at
   FROM alerts al
   JOIN analyses a ON a.job_id = al.job_id
  WHERE al.fired_at >= $1 AND (al.fired_at, al.job_id) < ($3, $4)
    AND a.status = 'done'
    AND NOT EXISTS (SELECT FROM alerts n WHERE n.job_id = al.job_id AND (n.fired_at, n.id) > (al.fired_at, al.id))
    AND EXISTS (SELECT FROM channels c WHERE c.job_id = a.job_id AND c.latest)
    AND ($2::text IS NULL OR EXISTS (SELECT FROM recordings r WHERE r.id = a.recording_id AND r.team = $2))
    AND NOT EXISTS (SELECT FROM analyses o JOIN reviews v ON v.job_id = o.job_id WHERE o.recording_id = a.recording_id)
  ORDER BY al.fired_at DESC, al.job_id DESC
  LIMIT $7)
UNION ALL
(SELECT 'low_confidence', a.job_id, a.called_at
   FROM analyses a
  WHERE a.status = 'done' AND a.confidence < 0.5
    AND a.called_at >= $1 AND (a.called_at, a.job_id) < ($5, $6)
    AND NOT EXISTS (SELECT FROM alerts al WHERE al.job_id = a.job_id AND al.fired_at >= $1)
    AND EXISTS (SELECT FROM channels c WHERE c.job_id = a.job_id AND c.latest)
    AND ($2::text IS NULL OR EXISTS (SELECT FROM recordings r WHERE r.id = a.recording_id AND r.team = $2))
    AND NOT EXISTS (SELECT FROM analyses o JOIN reviews v ON v.job_id = o.job_id WHERE o.recording_id = a.recording_id)
  ORDER BY a.called_at DESC, a.job_id DESC
  LIMIT $7)
ORDER BY reason, at DESC, job_id DESC
LIMIT $7

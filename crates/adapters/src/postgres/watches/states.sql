-- What is known of recordings and the jobs on them: $1 to $3 positions, recordings, jobs; $4 model; $5 options without
-- the channels; $6 seconds within which an unconfirmed job may still be in another program's hands.
SELECT i.position, r.call_data_version AS version,
       coalesce(bool_or(a.job_id = i.job_id), false) AS same_job,
       count(a.job_id) > 0 AS any_job,
       coalesce(bool_or(a.state = 'queued' AND a.published_at IS NULL), false) AS unconfirmed,
       coalesce(bool_or(a.state = 'queued' AND a.published_at IS NULL
                        AND a.submitted_at > now() - make_interval(secs => $6)), false) AS in_flight,
       r.id IS NULL AND EXISTS (SELECT FROM forgotten f WHERE f.id = i.recording_id) AS pruned
  FROM unnest($1::integer[], $2::uuid[], $3::uuid[]) AS i (position, recording_id, job_id)
  LEFT JOIN recordings r ON r.id = i.recording_id
  LEFT JOIN analyses a ON a.recording_id = r.id AND a.model_name = $4 AND a.options - 'channels' = $5
 GROUP BY i.position, i.recording_id, r.id, r.call_data_version
 ORDER BY i.position

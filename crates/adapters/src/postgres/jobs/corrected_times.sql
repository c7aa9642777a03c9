-- To which months segments will move: $1 recordings, $2 the time that the call data of each gives now. One time a month;
-- only of recordings that have another time and segments.
SELECT min(coalesce(plausible_call_time(i.started_at, r.created_at), r.created_at))
  FROM unnest($1::uuid[], $2::timestamptz[]) AS i (recording_id, started_at)
  JOIN recordings r ON r.id = i.recording_id AND r.started_at IS DISTINCT FROM i.started_at
 WHERE EXISTS (SELECT FROM analyses a WHERE a.recording_id = r.id AND a.status = 'done')
 GROUP BY date_trunc('month', coalesce(plausible_call_time(i.started_at, r.created_at), r.created_at), 'UTC')

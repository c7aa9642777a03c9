-- The sum of each channel, from the timeline just written: $1 job, $2 called_at, $3 recording, then one array per
-- column. $9 has nine scores for each row, NULL for channels without scores.
-- A newer finished analysis of the recording remains the latest; older ones stop being the latest.
WITH newer AS (
    SELECT 1 FROM analyses mine JOIN analyses other USING (recording_id)
     WHERE mine.job_id = $1 AND other.job_id <> $1 AND other.status = 'done' AND other.finished_at > mine.finished_at
), older AS (
    UPDATE channels SET latest = false
     WHERE recording_id = $3 AND job_id <> $1 AND latest AND NOT EXISTS (SELECT FROM newer)
)
INSERT INTO channels (job_id, channel, called_at, recording_id, latest, scored, role, emotion, segments, low_confidence,
                      level_dbfs, speech_s, angry_s, negative_s, score_angry, score_disgusted, score_fearful, score_happy,
                      score_neutral, score_other, score_sad, score_surprised, score_unknown, peak_angry,
                      peak_angry_at_s, first_third, last_third, turned_at_s, angry_streak, angry_streak_at_s,
                      negative_streak, negative_streak_at_s,
                      call_id, agent, team, customer)
SELECT $1, t.channel, $2, $3, NOT EXISTS (SELECT FROM newer), t.scored, t.role, t.emotion,
       coalesce(c.segments, 0), coalesce(c.low_confidence, 0), t.level_dbfs, t.speech_s,
       coalesce(c.angry_s, 0), coalesce(c.negative_s, 0),
       $9[row * 9 - 8], $9[row * 9 - 7], $9[row * 9 - 6], $9[row * 9 - 5], $9[row * 9 - 4],
       $9[row * 9 - 3], $9[row * 9 - 2], $9[row * 9 - 1], $9[row * 9],
       c.peak_angry, c.peak_angry_at_s, c.first_third, c.last_third, c.turned_at_s,
       coalesce(c.angry_streak, 0), c.angry_streak_at_s, coalesce(c.negative_streak, 0), c.negative_streak_at_s,
       left(r.call_id, 100), left(r.agent, 100), left(r.team, 100), left(r.customer, 100) -- an index entry has a bound
  FROM unnest($4::smallint[], $5::boolean[], $6::text[], $7::real[], $8::text[], $10::real[])
       WITH ORDINALITY AS t (channel, scored, role, speech_s, emotion, level_dbfs, row)
  JOIN recordings r ON r.id = $3
  LEFT JOIN (SELECT * FROM channel_course WHERE job_id = $1 AND called_at = $2) c ON c.channel = t.channel

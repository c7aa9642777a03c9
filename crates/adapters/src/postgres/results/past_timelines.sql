-- The timelines of a page of calls: $1 jobs, $2 and $3 the first and the last called_at among them, so that only those
-- months are read. One row per segment; a channel without segments has one row of NULLs.
SELECT c.job_id, c.channel, c.role, c.scored, c.level_dbfs, c.speech_s, s.segment, s.start_s, s.end_s, s.emotion, s.confidence,
       s.score_angry, s.score_disgusted, s.score_fearful, s.score_happy, s.score_neutral,
       s.score_other, s.score_sad, s.score_surprised, s.score_unknown
  FROM channels c
  LEFT JOIN segments s ON s.job_id = c.job_id AND s.called_at = c.called_at AND s.channel = c.channel
       AND s.called_at BETWEEN $2 AND $3
 WHERE c.job_id = ANY($1)
 ORDER BY c.job_id, c.channel, s.segment

-- Verdicts of people: one array per column. A row finds its analysis by job, or by call id or key (the latest one);
-- its channel by number, or as the only scored one; its segment by number, or by a second that lies in it.
-- Answers with each row's number (from 1) and what is wrong with it, NULL when it was written.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::integer[], $6::real[], $7::text[],
                         $8::timestamptz[], $9::text[], $10::text[])
        WITH ORDINALITY AS t (job_id, call_id, key, channel, segment, at_s, reviewer, reviewed_at, emotion, note, row)
), analysed AS (
    SELECT i.row, i.channel AS wanted_channel, i.segment AS wanted_segment, i.at_s, i.reviewer, i.reviewed_at, i.emotion, i.note,
           a.job_id, a.called_at, a.emotion AS heard
      FROM input i
      LEFT JOIN LATERAL (
           SELECT a.job_id, a.called_at, a.emotion FROM analyses a
            WHERE i.job_id IS NOT NULL AND a.job_id = i.job_id AND a.status = 'done'
           UNION ALL
           (SELECT a.job_id, a.called_at, a.emotion FROM recordings r JOIN analyses a ON a.recording_id = r.id
             WHERE i.job_id IS NULL AND i.call_id IS NOT NULL AND r.call_id = i.call_id AND (i.key IS NULL OR r.key = i.key)
               AND a.status = 'done' ORDER BY a.finished_at DESC, a.job_id LIMIT 1)
           UNION ALL
           (SELECT a.job_id, a.called_at, a.emotion FROM recordings r JOIN analyses a ON a.recording_id = r.id
             WHERE i.job_id IS NULL AND i.call_id IS NULL AND r.key = i.key
               AND a.status = 'done' ORDER BY a.finished_at DESC, a.job_id LIMIT 1)
      ) a ON true
), tracked AS (
    SELECT d.*, c.channel, c.emotion AS channel_heard, c.candidates
      FROM analysed d
      LEFT JOIN LATERAL (
           SELECT min(channel) AS channel, min(emotion) AS emotion, count(*) AS candidates FROM channels
            WHERE job_id = d.job_id AND scored AND (d.wanted_channel IS NULL OR channel = d.wanted_channel)
      ) c ON d.wanted_channel IS NOT NULL OR d.wanted_segment IS NOT NULL OR d.at_s IS NOT NULL
), placed AS (
    SELECT t.*, s.segment, s.emotion AS segment_heard,
           CASE WHEN t.job_id IS NULL THEN 'no finished analysis of such a call'
                WHEN t.candidates = 0 THEN 'no such scored channel'
                WHEN t.candidates > 1 THEN 'several channels were scored: say which'
                WHEN (t.wanted_segment IS NOT NULL OR t.at_s IS NOT NULL) AND s.segment IS NULL THEN 'nothing was heard there'
           END AS problem
      FROM tracked t
      LEFT JOIN LATERAL (
           SELECT s.segment, s.emotion FROM segments s
            WHERE s.job_id = t.job_id AND s.called_at = t.called_at AND s.channel = t.channel
              AND (t.wanted_segment IS NOT NULL OR t.at_s IS NOT NULL)
              AND (t.wanted_segment IS NULL OR s.segment = t.wanted_segment)
              AND (t.at_s IS NULL OR t.at_s BETWEEN s.start_s AND s.end_s)
            ORDER BY s.segment DESC LIMIT 1
      ) s ON true
), written AS (
    INSERT INTO reviews (job_id, channel, segment, reviewer, reviewed_at, model_emotion, emotion, note)
    SELECT DISTINCT ON (job_id, channel, segment, reviewer)
           job_id, channel, segment, reviewer, coalesce(reviewed_at, now()), coalesce(segment_heard, channel_heard, heard), emotion, note
      FROM placed WHERE problem IS NULL
     ORDER BY job_id, channel, segment, reviewer, reviewed_at DESC NULLS LAST, row DESC
    ON CONFLICT ON CONSTRAINT reviews_one_verdict DO UPDATE
       SET reviewed_at = excluded.reviewed_at, model_emotion = excluded.model_emotion, emotion = excluded.emotion, note = excluded.note
     WHERE reviews.reviewed_at <= excluded.reviewed_at
)
SELECT row, problem FROM placed ORDER BY row

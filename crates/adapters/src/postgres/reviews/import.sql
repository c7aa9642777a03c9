-- Imports verdicts: one array per column. The analysis of a row is found by job, or by call id or key (the latest one);
-- its channel by number, or as the only scored one; its segment by number, or by a second within it.
-- Returns each row's number (from 1), its problem (or NULL), and whether it is known: the same verdict is stored
-- already, or a newer one of the same person is, or comes in a later row.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::integer[], $6::real[], $7::text[],
                         $8::timestamptz[], $9::text[], $10::text[])
        WITH ORDINALITY AS t (job_id, call_id, key, channel, segment, at_s, reviewer, reviewed_at, emotion, note, row)
), analysed AS (
    SELECT i.row, i.channel AS wanted_channel, i.segment AS wanted_segment, i.at_s, i.reviewer, i.reviewed_at,
           i.emotion, i.note, a.job_id, a.called_at, a.emotion AS call_emotion
      FROM input i
      LEFT JOIN LATERAL (
           SELECT a.job_id, a.called_at, a.emotion FROM analyses a
            WHERE i.job_id IS NOT NULL AND a.job_id = i.job_id AND a.status = 'done'
           UNION ALL
           (SELECT a.job_id, a.called_at, a.emotion FROM recordings r JOIN analyses a ON a.recording_id = r.id
             WHERE i.job_id IS NULL AND i.call_id IS NOT NULL AND r.call_id = i.call_id
               AND (i.key IS NULL OR r.key = i.key) AND a.status = 'done' ORDER BY a.finished_at DESC, a.job_id LIMIT 1)
           UNION ALL
           (SELECT a.job_id, a.called_at, a.emotion FROM recordings r JOIN analyses a ON a.recording_id = r.id
             WHERE i.job_id IS NULL AND i.call_id IS NULL AND r.key = i.key
               AND a.status = 'done' ORDER BY a.finished_at DESC, a.job_id LIMIT 1)
      ) a ON true
), tracked AS (
    SELECT d.*, c.channel, c.emotion AS channel_emotion, c.candidates
      FROM analysed d
      LEFT JOIN LATERAL (
           SELECT min(channel) AS channel, min(emotion) AS emotion, count(*) AS candidates FROM channels
            WHERE job_id = d.job_id AND scored AND (d.wanted_channel IS NULL OR channel = d.wanted_channel)
      ) c ON d.wanted_channel IS NOT NULL OR d.wanted_segment IS NOT NULL OR d.at_s IS NOT NULL
), placed AS (
    SELECT t.*, s.segment, s.emotion AS segment_emotion,
           CASE WHEN t.job_id IS NULL THEN 'no finished analysis of such a call'
                WHEN t.candidates = 0 THEN 'no such scored channel'
                WHEN t.candidates > 1 THEN 'several channels were scored: name one'
                WHEN (t.wanted_segment IS NOT NULL OR t.at_s IS NOT NULL) AND s.segment IS NULL
                THEN 'no segment of speech there'
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
), ranked AS (
    SELECT p.*, coalesce(p.reviewed_at, now()) AS verdict_at,
           coalesce(p.segment_emotion, p.channel_emotion, p.call_emotion) AS model_emotion,
           row_number() OVER (PARTITION BY p.job_id, p.channel, p.segment, p.reviewer
                              ORDER BY coalesce(p.reviewed_at, now()) DESC, p.row DESC) AS place
      FROM placed p WHERE p.problem IS NULL
), compared AS (
    -- Without a time of its own, a verdict that repeats the stored one is not newer.
    SELECT k.*,
           k.place > 1 OR coalesce(
               v.reviewed_at > k.verdict_at
               OR (v.emotion = k.emotion AND v.note = k.note
                   AND (k.reviewed_at IS NULL OR v.reviewed_at = k.reviewed_at)), false) AS known
      FROM ranked k
      LEFT JOIN reviews v ON v.job_id = k.job_id AND v.channel IS NOT DISTINCT FROM k.channel
                         AND v.segment IS NOT DISTINCT FROM k.segment AND v.reviewer = k.reviewer
), written AS (
    INSERT INTO reviews (job_id, channel, segment, reviewer, reviewed_at, model_emotion, emotion, note)
    SELECT job_id, channel, segment, reviewer, verdict_at, model_emotion, emotion, note FROM compared WHERE NOT known
    ON CONFLICT ON CONSTRAINT reviews_one_verdict DO UPDATE
       SET reviewed_at = excluded.reviewed_at, model_emotion = excluded.model_emotion, emotion = excluded.emotion,
           note = excluded.note
     WHERE reviews.reviewed_at <= excluded.reviewed_at
)
SELECT p.row, p.problem, coalesce(j.known, false) AS known FROM placed p LEFT JOIN compared j USING (row) ORDER BY p.row

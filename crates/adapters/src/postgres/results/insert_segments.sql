-- The timeline of a job: $1 job, $2 called_at, then one array per column. $9 has nine scores for each row.
INSERT INTO segments (job_id, called_at, channel, segment, role, start_s, end_s, emotion, confidence,
                      score_angry, score_disgusted, score_fearful, score_happy, score_neutral,
                      score_other, score_sad, score_surprised, score_unknown)
SELECT $1, $2, channel, segment, role, start_s, end_s, emotion, $10[row],
       $9[row * 9 - 8], $9[row * 9 - 7], $9[row * 9 - 6], $9[row * 9 - 5], $9[row * 9 - 4],
       $9[row * 9 - 3], $9[row * 9 - 2], $9[row * 9 - 1], $9[row * 9]
  FROM unnest($3::smallint[], $4::integer[], $5::text[], $6::real[], $7::real[], $8::text[])
       WITH ORDINALITY AS t (channel, segment, role, start_s, end_s, emotion, row)

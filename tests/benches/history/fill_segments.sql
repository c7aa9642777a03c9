-- The timelines of a month's finished calls: $1 first call number, $2 calls, $3 segments per call, $4 model name.
-- A call has a level of anger and a drift; one call in eight drifts upwards for good.
WITH call AS (
    SELECT job_id, called_at,
           power((h % 1000) / 1000.0, 4) * 0.6 AS level,
           CASE WHEN h / 1000 % 8 = 0 THEN 0.6 ELSE ((h / 1000 % 100) - 50) / 400.0 END AS drift
      FROM (SELECT a.job_id, a.called_at, 1 + hashint8(n) & 2147483647 AS h
              FROM generate_series($1, $1 + $2 - 1) AS n
              JOIN analyses a ON a.job_id = md5('job' || $4 || n)::uuid AND a.status = 'done') AS numbered
), segment AS (
    SELECT job_id, called_at, i, random() AS luck,
           least(0.96, greatest(0.01, level + drift * i / $3 + 0.3 * (random() - 0.5))) AS angry
      FROM call CROSS JOIN generate_series(0, $3 - 1) AS i
), scored AS (
    SELECT job_id, called_at, i, angry::real AS angry, (1 - angry)::real AS rest,
           luck < 0.1 AS is_sad, luck > 0.9 AS is_happy
      FROM segment
), nine AS (
    SELECT *, CASE WHEN is_sad THEN rest * 0.60 ELSE rest * 0.06 END AS sad,
              CASE WHEN is_happy AND NOT is_sad THEN rest * 0.60 ELSE rest * 0.06 END AS happy,
              CASE WHEN is_sad OR is_happy THEN rest * 0.14 ELSE rest * 0.68 END AS neutral
      FROM scored
)
INSERT INTO segments
SELECT job_id, called_at, 1, i, 'customer', i * 5.5, i * 5.5 + 5,
       CASE greatest(angry, sad, happy, neutral)
           WHEN angry THEN 'angry' WHEN sad THEN 'sad' WHEN happy THEN 'happy' ELSE 'neutral' END,
       greatest(angry, sad, happy, neutral),
       angry, rest * 0.05, rest * 0.05, happy, neutral, rest * 0.04, sad, rest * 0.04, rest * 0.02
  FROM nine
 -- In the order in which workers write them: by time, all segments of a call together.
 ORDER BY called_at, job_id, i

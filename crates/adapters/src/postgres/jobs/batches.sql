-- The newest batches with counts of their jobs: $1 limit, $2 only this batch (or NULL).
SELECT b.id, b.name, b.source, b.created_at, t.total, t.done, t.failed
  FROM (SELECT * FROM batches WHERE $2::uuid IS NULL OR id = $2 ORDER BY created_at DESC, id LIMIT $1) b
 CROSS JOIN LATERAL (
       SELECT count(*) AS total,
              count(*) FILTER (WHERE state = 'done') AS done,
              count(*) FILTER (WHERE state = 'failed') AS failed
         FROM analyses a WHERE a.batch_id = b.id AND a.state <> 'deleting') t
 ORDER BY b.created_at DESC, b.id

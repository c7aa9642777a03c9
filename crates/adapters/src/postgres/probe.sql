-- What a worker writes, without writing anything: fails as its jobs would when a table or a right is missing, or the
-- server is read-only. One row, false when a right to insert is missing.
WITH analysis AS (UPDATE analyses SET status = status WHERE false RETURNING 1),
     recording AS (UPDATE recordings SET key = key WHERE false RETURNING 1),
     batch AS (UPDATE batches SET name = name WHERE false RETURNING 1),
     segment AS (DELETE FROM segments WHERE false RETURNING 1),
     channel AS (DELETE FROM channels WHERE false RETURNING 1)
SELECT bool_and(has_table_privilege(name, 'INSERT')) AS may_insert
  FROM unnest(ARRAY['analyses', 'recordings', 'batches', 'segments', 'channels', 'alerts', 'outbox']) AS t (name)

-- How much there is to delete by age: $1 called before. Alerts have their call's time; reviews are few.
SELECT count(*) FILTER (WHERE a.status IN ('done', 'failed')) AS analyses,
       count(*) FILTER (WHERE a.status NOT IN ('done', 'failed')) AS open,
       min(a.called_at) FILTER (WHERE a.status IN ('done', 'failed')) AS earliest,
       (SELECT count(*) FROM alerts WHERE called_at < $1) AS alerts,
       (SELECT count(*) FROM reviews v JOIN analyses r ON r.job_id = v.job_id WHERE r.called_at < $1) AS reviews
  FROM analyses a
 WHERE a.called_at < $1

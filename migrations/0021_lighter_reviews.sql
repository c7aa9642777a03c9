-- Outer joins by key: PostgreSQL leaves out those whose columns a question does not name, so that agreement over a month
-- does not fetch every reviewed call's analysis and recording. A review always has both.
CREATE OR REPLACE VIEW model_vs_reviewer AS
SELECT v.id AS review_id, v.job_id, v.channel, v.segment, v.reviewer, v.reviewed_at, v.model_emotion, v.emotion AS reviewer_emotion,
       v.model_emotion = v.emotion AS agrees, v.note, r.call_id, r.team, r.agent, a.called_at, a.model_name, a.model_version
  FROM reviews v
  LEFT JOIN analyses a ON a.job_id = v.job_id
  LEFT JOIN recordings r ON r.id = a.recording_id;
COMMENT ON VIEW model_vs_reviewer IS 'Each review beside what the model had said. avg(agrees::int) is the agreement; count by both emotions is the confusion matrix.';

-- The nine emotions, and which of them are negative.

CREATE DOMAIN emotion AS text
    CONSTRAINT emotion_label CHECK (
        VALUE IN ('angry', 'disgusted', 'fearful', 'happy', 'neutral', 'other', 'sad', 'surprised', 'unknown')
    );
COMMENT ON DOMAIN emotion IS 'One of the nine classes of the model, by its English label.';

-- The only definition of "negative" in SQL; a test compares it with the programs' own. The planner replaces a call by
-- the expression itself, so that indexes serve a question as if it were written out.
CREATE FUNCTION is_negative(label text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN label IN ('angry', 'disgusted', 'fearful', 'sad');
COMMENT ON FUNCTION is_negative IS 'Whether an emotion is negative: angry, disgusted, fearful or sad.';

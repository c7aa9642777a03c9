-- Users, sessions and tokens of the console, who submitted what, idempotency keys, and the audit trail.

CREATE TABLE console_users (
    id            uuid PRIMARY KEY,
    name          text NOT NULL,
    password_hash text NOT NULL,
    role          text NOT NULL,
    team          text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    disabled_at   timestamptz,
    CONSTRAINT console_users_name UNIQUE (name),
    CONSTRAINT console_users_role CHECK (role IN ('viewer', 'reviewer', 'admin'))
);
COMMENT ON TABLE console_users IS 'People who log in to the console. `console user add` and `console user disable` change it.';
COMMENT ON COLUMN console_users.password_hash IS 'Argon2id, in PHC format.';
COMMENT ON COLUMN console_users.role IS 'viewer sees results, reviewer also plays audio and reviews, admin also deletes and exports.';
COMMENT ON COLUMN console_users.team IS 'Only recordings of this team are visible; NULL: all.';

CREATE TABLE console_sessions (
    token_sha256 bytea PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES console_users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX console_sessions_of_user ON console_sessions (user_id);
CREATE INDEX console_sessions_expired ON console_sessions (expires_at);
COMMENT ON TABLE console_sessions IS 'Logins in force. Deleting a row ends the session at its next request.';
COMMENT ON COLUMN console_sessions.token_sha256 IS 'SHA-256 of the cookie''s value, which itself is stored nowhere.';

CREATE TABLE console_tokens (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    token_sha256 bytea NOT NULL,
    scopes       text[] NOT NULL,
    team         text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT console_tokens_name UNIQUE (name),
    CONSTRAINT console_tokens_value UNIQUE (token_sha256)
);
COMMENT ON TABLE console_tokens IS 'Access tokens of programs: `Authorization: Bearer ...`. `console token add` and `console token revoke` change it.';
COMMENT ON COLUMN console_tokens.token_sha256 IS 'SHA-256 of the token, which is printed once and stored nowhere.';
COMMENT ON COLUMN console_tokens.scopes IS 'Any of predict, read, listen, review, admin.';

CREATE TABLE console_submissions (
    job_id       uuid NOT NULL REFERENCES analyses ON DELETE CASCADE,
    caller       text NOT NULL,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, caller)
);
COMMENT ON TABLE console_submissions IS
    'Who submitted an analysis through the console: callers without the permission `read` see these alone.';
COMMENT ON COLUMN console_submissions.caller IS '`user:NAME`, `token:NAME`, or `local`.';

CREATE TABLE console_requests (
    caller      text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    job_id      uuid,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
);
CREATE INDEX console_requests_by_age ON console_requests (created_at);
COMMENT ON TABLE console_requests IS 'Idempotency-Key of predictions, kept for a day: the same key again gives the same job.';
COMMENT ON COLUMN console_requests.fingerprint IS 'SHA-256 of file and options: the same key with another request is refused.';
COMMENT ON COLUMN console_requests.job_id IS 'NULL while the first request is being stored.';

CREATE TABLE audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    who     text NOT NULL,
    action  text NOT NULL,
    job_id  uuid,
    detail  text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT ''
);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_of_job ON audit (job_id, at) WHERE job_id IS NOT NULL;
COMMENT ON TABLE audit IS 'Who logged in, and who played, downloaded, exported or deleted what. Rows are only added.';
COMMENT ON COLUMN audit.who IS '`user:NAME`, `token:NAME`, or `local` for the console on loopback without a login.';
COMMENT ON COLUMN audit.action IS 'login, login_failed, listen, download, export, delete.';
COMMENT ON COLUMN audit.address IS 'The caller''s address as the console saw it.';

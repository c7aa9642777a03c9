-- What the migrations of before 0.1.0 left in sqlx's table. The checksums are made up: only the names count.
CREATE TABLE _sqlx_migrations (
    version        bigint PRIMARY KEY,
    description    text NOT NULL,
    installed_on   timestamptz NOT NULL DEFAULT now(),
    success        boolean NOT NULL,
    checksum       bytea NOT NULL,
    execution_time bigint NOT NULL
);
INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
VALUES (1, 'recordings and analyses', true, '\x01', 1),
       (2, 'timelines', true, '\x02', 1),
       (3, 'alerts and reviews', true, '\x03', 1),
       (4, 'questions', true, '\x04', 1),
       (5, 'indexes', true, '\x05', 1),
       (6, 'retention', true, '\x06', 1),
       (10, 'alert delivery', true, '\x0a', 1),
       (11, 'outbox order', true, '\x0b', 1),
       (20, 'comparing models', true, '\x14', 1),
       (21, 'lighter reviews', true, '\x15', 1),
       (22, 'comparing models by team', true, '\x16', 1);

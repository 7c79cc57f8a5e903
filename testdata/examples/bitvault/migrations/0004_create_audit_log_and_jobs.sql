CREATE TYPE audit_action AS ENUM (
    'user_created',
    'email_changed',
    'file_stored',
    'file_deleted',
    'share_created'
);

-- The log outlives what it speaks of: the actor may go, and the subject is text, not a reference.
CREATE TABLE audit_log (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor_id bigint REFERENCES users (id) ON DELETE SET NULL,
    action   audit_action NOT NULL,
    subject  text NOT NULL
);

CREATE INDEX audit_log_at_idx ON audit_log (at);
CREATE INDEX audit_log_actor_id_idx ON audit_log (actor_id);

CREATE TABLE jobs (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    payload    jsonb NOT NULL,
    attempts   integer NOT NULL DEFAULT 0,
    run_at     timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz,
    last_error text
);

CREATE INDEX jobs_due_idx ON jobs (run_at) WHERE done_at IS NULL;

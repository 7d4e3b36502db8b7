-- Who is signed in at the console. A cookie's text is never stored: its SHA-256 finds it. It ends with its key: without
-- one it was made with RELAY_OPERATOR_KEY, and counts while `operator_proof`, made of that and the cookie's text, holds.
CREATE TABLE console_sessions (
    hash            bytea PRIMARY KEY,
    key_id          text COLLATE "C" REFERENCES api_keys ON DELETE CASCADE,
    operator_proof  bytea,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    CHECK ((key_id IS NULL) <> (operator_proof IS NULL))
);
CREATE INDEX console_sessions_key ON console_sessions (key_id);

-- Which master key wraps what is wrapped from now on, by its id; the key itself is in the operator's file.
CREATE TABLE master_key (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    key_id  bytea NOT NULL
);

-- A session's own key, made with its first auth state: sealed by the tenant's data key, then wrapped by the master key,
-- so that a rotation reaches it. Apart from what it seals, and written once: of the many versions of an auth state that
-- linger in files and logs, none has its key beside it.
CREATE TABLE whatsapp_session_keys (
    session_id  text COLLATE "C" PRIMARY KEY REFERENCES whatsapp_sessions ON DELETE CASCADE,
    tenant_id   text COLLATE "C" NOT NULL,
    wrapped     bytea NOT NULL
);

-- What was deleted is cleared away at autovacuum's next round, not at the fiftieth row.
ALTER TABLE whatsapp_session_keys SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE tenants SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

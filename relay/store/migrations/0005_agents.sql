-- What messages are handed to: an OpenAI-compatible model, or the tenant's own automation.
CREATE TABLE agents (
    id         text COLLATE "C" PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name       text COLLATE "C" NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('openai', 'http')),
    enabled    boolean NOT NULL DEFAULT true,
    settings   jsonb NOT NULL,
    -- The API key or the signing secret, sealed by the tenant's data key, the agent's id as associated data.
    secret     bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);

-- A question that an agent is to answer: one in each chat. The lease is due_at, as in reply_tasks.
CREATE TABLE agent_turns (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    session_id  text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    chat        text COLLATE "C" NOT NULL,
    contact_id  text COLLATE "C",
    agent       text NOT NULL,
    -- The messages that are the question, oldest first.
    message_ids text[] NOT NULL,
    fallback    text,
    cause       jsonb NOT NULL,
    due_at      timestamptz NOT NULL,
    attempt     integer NOT NULL DEFAULT 0,
    claim       text,
    UNIQUE (session_id, chat)
) WITH (fillfactor = 60);
CREATE INDEX agent_turns_due ON agent_turns (due_at);

-- Every call, without its text.
CREATE TABLE agent_calls (
    id                text COLLATE "C" PRIMARY KEY,
    tenant_id         text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    agent_id          text COLLATE "C" NOT NULL,
    session_id        text COLLATE "C",
    message_id        text COLLATE "C",
    outcome           text NOT NULL,
    status_code       integer,
    duration_seconds  real NOT NULL,
    prompt_tokens     integer NOT NULL DEFAULT 0,
    completion_tokens integer NOT NULL DEFAULT 0,
    cost              numeric,
    at                timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX agent_calls_tenant ON agent_calls (tenant_id, id);

-- What a tenant has used of its budget, a row a day (UTC).
CREATE TABLE agent_usage (
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    day       date NOT NULL,
    calls     bigint NOT NULL DEFAULT 0,
    tokens    bigint NOT NULL DEFAULT 0,
    cost      numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, day)
);

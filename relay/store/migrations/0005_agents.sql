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
    -- Signs beside the new one until its overlap is over (kind http).
    previous_secret       bytea,
    previous_secret_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);

-- A question that an agent is to answer: one in each chat. The lease is due_at, as in reply_tasks. What arrives while
-- a claim holds waits in message_ids and becomes the next question.
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
    -- When the first of them came: quick messages are waited for, but not for ever.
    since       timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz NOT NULL,
    -- When what arrived under a claim has been waited for.
    next_due_at timestamptz,
    attempt     integer NOT NULL DEFAULT 0,
    claim       text,
    UNIQUE (session_id, chat)
) WITH (fillfactor = 60);
CREATE INDEX agent_turns_due ON agent_turns (tenant_id, due_at);

-- Every call of an agent, without its text. `requests`: how many it took, tools and transcriptions among them.
CREATE TABLE agent_calls (
    id                text COLLATE "C" PRIMARY KEY,
    tenant_id         text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    agent_id          text COLLATE "C" NOT NULL,
    session_id        text COLLATE "C",
    message_id        text COLLATE "C",
    outcome           text NOT NULL CHECK (outcome IN ('answered', 'empty', 'handoff', 'cancelled', 'timeout', 'refused',
                      'throttled', 'failed', 'nonsense', 'budget_exhausted')),
    requests          integer NOT NULL DEFAULT 0,
    status_code       integer,
    duration_seconds  real NOT NULL,
    prompt_tokens     integer NOT NULL DEFAULT 0,
    completion_tokens integer NOT NULL DEFAULT 0,
    cost              numeric,
    at                timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX agent_calls_agent ON agent_calls (tenant_id, agent_id, id);
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

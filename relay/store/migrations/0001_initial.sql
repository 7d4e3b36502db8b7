-- Ids are text that sorts by time in "C" collation; states are held by CHECK; instants are timestamptz.

CREATE TABLE tenants (
    id          text COLLATE "C" PRIMARY KEY,
    name        text NOT NULL,
    -- The tenant's data key, sealed by the master key.
    data_key    bytea NOT NULL,
    retention   jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- A key's text is never stored: its SHA-256 finds it. No tenant means an operator's key.
CREATE TABLE api_keys (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" REFERENCES tenants ON DELETE CASCADE,
    name        text NOT NULL,
    hash        bytea NOT NULL UNIQUE,
    hint        text NOT NULL,
    scopes      text[] NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, id);

CREATE TABLE whatsapp_sessions (
    id             text COLLATE "C" PRIMARY KEY,
    tenant_id      text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name           text NOT NULL,
    engine         text NOT NULL,
    wanted         text NOT NULL DEFAULT 'down' CHECK (wanted IN ('up', 'down')),
    wanted_at      timestamptz NOT NULL DEFAULT now(),
    status         text NOT NULL DEFAULT 'disconnected'
                   CHECK (status IN ('disconnected', 'connecting', 'connected', 'failed')),
    reason         text,
    -- Raised by every connect, disconnect and logout request; a host that acts on one knows which it saw.
    request        bigint NOT NULL DEFAULT 0,
    -- Set by a logout request until a host has carried it out.
    logout         boolean NOT NULL DEFAULT false,
    phone          text,
    lid            text,
    limits         jsonb NOT NULL DEFAULT '{}',
    automation     boolean NOT NULL DEFAULT false,
    proxy          bytea,
    link_method    text NOT NULL DEFAULT 'qr' CHECK (link_method IN ('qr', 'code')),
    link_phone     text,
    qr             text,
    qr_expires_at  timestamptz,
    pairing_code   text,
    banned_until   timestamptz,
    last_active_at timestamptz,
    connected_at   timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX whatsapp_sessions_tenant ON whatsapp_sessions (tenant_id, id);
CREATE INDEX whatsapp_sessions_wanted ON whatsapp_sessions (id) WHERE wanted = 'up' OR logout;

-- A lease grants one holder until expires_at; each takeover raises term, the fencing token.
CREATE TABLE leases (
    resource    text COLLATE "C" PRIMARY KEY,
    holder      text NOT NULL,
    term        bigint NOT NULL DEFAULT 1,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX leases_holder ON leases (holder);

CREATE TABLE whatsapp_auth_state (
    session_id  text COLLATE "C" PRIMARY KEY REFERENCES whatsapp_sessions ON DELETE CASCADE,
    tenant_id   text COLLATE "C" NOT NULL,
    sealed      bytea NOT NULL,
    term        bigint NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE whatsapp_contacts (
    id            text COLLATE "C" PRIMARY KEY,
    tenant_id     text COLLATE "C" NOT NULL,
    session_id    text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    pn            text COLLATE "C",
    lid           text COLLATE "C",
    name          text,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    CHECK (pn IS NOT NULL OR lid IS NOT NULL)
);
CREATE UNIQUE INDEX whatsapp_contacts_pn ON whatsapp_contacts (session_id, pn) WHERE pn IS NOT NULL;
CREATE UNIQUE INDEX whatsapp_contacts_lid ON whatsapp_contacts (session_id, lid) WHERE lid IS NOT NULL;
CREATE INDEX whatsapp_contacts_tenant ON whatsapp_contacts (tenant_id, id);

CREATE TABLE whatsapp_chats (
    session_id      text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    jid             text COLLATE "C" NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    name            text,
    contact_id      text COLLATE "C",
    last_message_id text COLLATE "C",
    last_message_at timestamptz,
    last_inbound_at timestamptz,
    unread          integer NOT NULL DEFAULT 0,
    PRIMARY KEY (session_id, jid)
) WITH (fillfactor = 70);
CREATE INDEX whatsapp_chats_tenant ON whatsapp_chats (tenant_id, session_id);

CREATE TABLE whatsapp_messages (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    session_id  text COLLATE "C" NOT NULL,
    chat        text COLLATE "C" NOT NULL,
    direction   text NOT NULL CHECK (direction IN ('inbound', 'outgoing')),
    origin      text NOT NULL CHECK (origin IN ('contact', 'phone', 'api', 'bot')),
    -- The sender as WhatsApp names it in this chat, `me` for the account itself; part of the name of a message.
    sender      text COLLATE "C" NOT NULL,
    sender_pn   text,
    sender_lid  text,
    sender_name text,
    contact_id  text COLLATE "C",
    type        text NOT NULL,
    content     jsonb NOT NULL,
    status      text NOT NULL CHECK (status IN
                ('received', 'queued', 'sending', 'unknown', 'failed', 'sent', 'delivered', 'read')),
    error       text,
    wa_id       text COLLATE "C",
    reply_to    text,
    mentions    text[] NOT NULL DEFAULT '{}',
    edited_at   timestamptz,
    revoked_at  timestamptz,
    history     jsonb NOT NULL DEFAULT '[]',
    -- An outgoing message waits until then (its budget, its pace).
    due_at      timestamptz,
    -- The lease term under which it is being sent.
    term        bigint,
    -- Its budget was taken when it was accepted (when_exceeded: reject).
    budgeted    boolean NOT NULL DEFAULT false,
    sent_at     timestamptz NOT NULL,
    CHECK (direction = 'outgoing' OR status IN ('received', 'read')),
    CHECK (status <> 'sending' OR term IS NOT NULL)
) WITH (fillfactor = 90);
-- One WhatsApp message is one row: this session, this chat, this sender, this id, and nothing less.
CREATE UNIQUE INDEX whatsapp_messages_name ON whatsapp_messages (session_id, chat, sender, wa_id);
CREATE INDEX whatsapp_messages_tenant ON whatsapp_messages (tenant_id, id);
CREATE INDEX whatsapp_messages_chat ON whatsapp_messages (session_id, chat, id);
CREATE INDEX whatsapp_messages_queued ON whatsapp_messages (session_id, id) WHERE status IN ('queued', 'sending');
CREATE INDEX whatsapp_messages_heads ON whatsapp_messages (session_id, chat, id)
    WHERE status IN ('queued', 'sending');

CREATE TABLE media (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    session_id  text COLLATE "C" REFERENCES whatsapp_sessions ON DELETE CASCADE,
    contact_id  text COLLATE "C",
    sha256      bytea NOT NULL,
    mimetype    text NOT NULL,
    file_name   text,
    size_bytes  bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX media_tenant ON media (tenant_id, id);

CREATE TABLE endpoints (
    id                    text COLLATE "C" PRIMARY KEY,
    tenant_id             text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    url                   text NOT NULL,
    description           text NOT NULL DEFAULT '',
    events                text[] NOT NULL DEFAULT '{}',
    sessions              text[] NOT NULL DEFAULT '{}',
    "order"               text NOT NULL DEFAULT 'none' CHECK ("order" IN ('none', 'chat')),
    -- Sealed by the tenant's data key, the endpoint's id as associated data.
    secret                bytea NOT NULL,
    previous_secret       bytea,
    previous_secret_until timestamptz,
    headers               bytea,
    status                text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'disabled')),
    disabled_reason       text,
    failing_since         timestamptz,
    succeeded             bigint NOT NULL DEFAULT 0,
    failed                bigint NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX endpoints_tenant ON endpoints (tenant_id, id);

-- Append-only, a partition a day by id, dropped by age. xid orders what has committed: a reader that stays
-- below the oldest running transaction misses nothing (ids alone are made before their commit).
CREATE TABLE events (
    id          text COLLATE "C" NOT NULL PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    type        text NOT NULL,
    session_id  text COLLATE "C",
    contact_id  text COLLATE "C",
    chat        text COLLATE "C",
    body        text NOT NULL,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id()
) PARTITION BY RANGE (id);
CREATE INDEX events_tenant ON events (tenant_id, xid, id);

-- Only what is still owed. The lease is due_at: a claim moves it, so an expired claim is simply due again.
CREATE TABLE deliveries (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    event_id    text COLLATE "C" NOT NULL,
    event_type  text NOT NULL,
    -- Set where the endpoint keeps a chat's order: the chat whose next one waits for this one.
    chat        text COLLATE "C",
    due_at      timestamptz NOT NULL DEFAULT now(),
    attempt     integer NOT NULL DEFAULT 0,
    -- The number of the first attempt of the running schedule; a redelivery starts it afresh.
    first_attempt integer NOT NULL DEFAULT 0,
    claim       text
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at, id);
CREATE INDEX deliveries_chat ON deliveries (endpoint_id, chat, id) WHERE chat IS NOT NULL;

-- A partition a day by the delivery's id; the row with `final` says how its delivery ended.
CREATE TABLE attempts (
    tenant_id        text COLLATE "C" NOT NULL,
    delivery_id      text COLLATE "C" NOT NULL,
    number           integer NOT NULL,
    endpoint_id      text COLLATE "C" NOT NULL,
    event_id         text COLLATE "C" NOT NULL,
    event_type       text NOT NULL,
    outcome          text NOT NULL CHECK (outcome IN
                     ('succeeded', 'rejected', 'unreachable', 'blocked', 'cancelled')),
    status_code      integer,
    duration_seconds real NOT NULL,
    response         text NOT NULL DEFAULT '',
    final            text CHECK (final IN ('succeeded', 'exhausted', 'cancelled')),
    at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, delivery_id, number)
) PARTITION BY RANGE (delivery_id);

CREATE TABLE idempotency_keys (
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    route       text NOT NULL,
    key         text COLLATE "C" NOT NULL,
    body_hash   bytea NOT NULL,
    -- Null while the first request is still being worked on.
    status_code integer,
    body        bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, route, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE reply_tasks (
    message_id  text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    session_id  text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    chat        text COLLATE "C" NOT NULL,
    due_at      timestamptz NOT NULL DEFAULT now(),
    attempt     integer NOT NULL DEFAULT 0,
    claim       text
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX reply_tasks_due ON reply_tasks (due_at, message_id);
CREATE INDEX reply_tasks_chat ON reply_tasks (session_id, chat, message_id);

-- Counters of the `limits` package, so that budgets survive a restart and every process counts alike.
CREATE TABLE rate_counters (
    key        text COLLATE "C" PRIMARY KEY,
    count      bigint NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX rate_counters_age ON rate_counters (expires_at);

-- What the API asks of a running session's engine (edit, revoke, typing …), and what it answered.
CREATE TABLE engine_requests (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    session_id  text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    body        jsonb NOT NULL,
    -- A host takes it once; whoever asked has gone when this is over.
    expires_at  timestamptz NOT NULL,
    taken       boolean NOT NULL DEFAULT false,
    answer      jsonb
);
CREATE INDEX engine_requests_open ON engine_requests (session_id, id) WHERE NOT taken;
CREATE INDEX engine_requests_age ON engine_requests (expires_at);

-- The sandbox's phone network: what was asked of it, and what its virtual phones have received.
CREATE TABLE sandbox_commands (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    session_id  text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    body        jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX sandbox_commands_session ON sandbox_commands (session_id, id);

CREATE TABLE sandbox_outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    session_id  text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    body        jsonb NOT NULL,
    -- Its delivered and read receipts have yet to be told; they survive a crash.
    receipts_owed boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sandbox_outbox_session ON sandbox_outbox (session_id, id);
CREATE INDEX sandbox_outbox_owed ON sandbox_outbox (session_id, id) WHERE receipts_owed;

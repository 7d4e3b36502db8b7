-- How rules and agents behave in a session; see BotSettings.
ALTER TABLE whatsapp_sessions ADD COLUMN bot jsonb NOT NULL DEFAULT '{}';

-- Raised whenever rules or agents of the tenant change: whoever keeps them compiled sees by it that they are old.
ALTER TABLE tenants ADD COLUMN rules_version bigint NOT NULL DEFAULT 0;

-- Why a bot said it (see Cause), what it answers, and its place among the answers: however often a task is worked on,
-- it has one first answer.
ALTER TABLE whatsapp_messages
    ADD COLUMN automation jsonb,
    ADD COLUMN answers text COLLATE "C",
    ADD COLUMN answer_number smallint,
    ADD COLUMN typing_seconds real NOT NULL DEFAULT 0,
    DROP CONSTRAINT whatsapp_messages_origin_check,
    ADD CONSTRAINT whatsapp_messages_origin_check CHECK (origin IN ('contact', 'phone', 'api', 'person', 'bot'));
CREATE UNIQUE INDEX whatsapp_messages_answers ON whatsapp_messages (answers, answer_number) WHERE answers IS NOT NULL;
-- Where a person has answered.
CREATE INDEX whatsapp_messages_owner ON whatsapp_messages (session_id, chat, id) WHERE origin IN ('phone', 'person');

-- It arrived late, after the session had been offline.
ALTER TABLE reply_tasks ADD COLUMN offline boolean NOT NULL DEFAULT false;
-- Claimed a session at a time, the oldest first.
DROP INDEX reply_tasks_due;
DROP INDEX reply_tasks_chat;
CREATE INDEX reply_tasks_session ON reply_tasks (session_id, message_id);

-- How the bot stands in a chat. `said`: its answers of the last hour, [[unix time, digest], …].
CREATE TABLE bot_chats (
    session_id    text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    chat          text COLLATE "C" NOT NULL,
    tenant_id     text COLLATE "C" NOT NULL,
    paused_until  timestamptz,
    paused_reason text CHECK (paused_reason IN ('person', 'handoff', 'rule', 'request')),
    said          jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (session_id, chat)
) WITH (fillfactor = 60);
CREATE INDEX bot_chats_tenant ON bot_chats (tenant_id);

-- What bots know of a contact. vars: {name: {value, expires_at}}; flows: {chat: FlowState}; fired: {"set/rule": until}.
CREATE TABLE bot_contacts (
    contact_id  text COLLATE "C" PRIMARY KEY REFERENCES whatsapp_contacts ON DELETE CASCADE,
    session_id  text COLLATE "C" NOT NULL,
    tenant_id   text COLLATE "C" NOT NULL,
    ignored     boolean NOT NULL DEFAULT false,
    tags        text[] NOT NULL DEFAULT '{}',
    vars        jsonb NOT NULL DEFAULT '{}',
    flows       jsonb NOT NULL DEFAULT '{}',
    fired       jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 60);
CREATE INDEX bot_contacts_session ON bot_contacts (tenant_id, session_id);

-- A tenant's own rule sets: the version in force, and every version that was.
CREATE TABLE rule_sets (
    tenant_id  text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name       text COLLATE "C" NOT NULL,
    version    integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);
CREATE TABLE rule_set_versions (
    tenant_id  text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    version    integer NOT NULL,
    source     text NOT NULL,
    note       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name, version),
    FOREIGN KEY (tenant_id, name) REFERENCES rule_sets ON DELETE CASCADE
);

-- What shadow rules would have said. Kept as long as events are.
CREATE TABLE shadow_decisions (
    id         text COLLATE "C" PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    session_id text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    chat       text COLLATE "C" NOT NULL,
    contact_id text COLLATE "C",
    message_id text COLLATE "C" NOT NULL,
    cause      jsonb NOT NULL,
    -- [{type, content}, …]
    messages   jsonb NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX shadow_decisions_tenant ON shadow_decisions (tenant_id, id);

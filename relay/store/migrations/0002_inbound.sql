-- Files that are still at WhatsApp. The row goes when its file is stored; one that could not be had stays and says why.
CREATE TABLE media_fetches (
    media_id    text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    session_id  text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    message_id  text COLLATE "C" NOT NULL REFERENCES whatsapp_messages ON DELETE CASCADE,
    kind        text NOT NULL,
    -- Where it lies and the key that opens it, sealed by the tenant's data key; gone once nobody will try again.
    reference   bytea,
    -- From before the account was linked: fetched after what is new.
    history     boolean NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    -- The claim's lease too: a claim moves it.
    due_at      timestamptz NOT NULL DEFAULT now(),
    claim       text,
    -- The session's lease term under which it was claimed; the next holder need not wait for the claim to end.
    term        bigint,
    error       text,
    CHECK ((error IS NULL) = (reference IS NOT NULL))
) WITH (fillfactor = 60);
CREATE INDEX media_fetches_due ON media_fetches (session_id, history, due_at) WHERE error IS NULL;
CREATE INDEX media_fetches_message ON media_fetches (message_id);
CREATE INDEX media_fetches_tenant ON media_fetches (tenant_id);

-- Receipts of messages whose sending is not settled yet, or that are not ours.
CREATE TABLE early_receipts (
    session_id  text COLLATE "C" NOT NULL REFERENCES whatsapp_sessions ON DELETE CASCADE,
    chat        text COLLATE "C" NOT NULL,
    wa_id       text COLLATE "C" NOT NULL,
    status      text NOT NULL CHECK (status IN ('delivered', 'read')),
    at          timestamptz NOT NULL,
    stored_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, chat, wa_id, status)
);
CREATE INDEX early_receipts_age ON early_receipts (stored_at);

-- Who is known by LID alone: found again when the number becomes known.
CREATE INDEX whatsapp_messages_lids ON whatsapp_messages (session_id, sender) WHERE sender LIKE '%@lid';

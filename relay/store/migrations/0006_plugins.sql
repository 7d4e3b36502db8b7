-- What plugins keep, each for itself and for each tenant apart.
CREATE TABLE plugin_values (
    tenant_id  text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    plugin     text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    -- Whom it is about: it goes with the contact.
    contact_id text COLLATE "C" REFERENCES whatsapp_contacts ON DELETE CASCADE,
    value      jsonb NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, plugin, key)
);
CREATE INDEX plugin_values_contact ON plugin_values (contact_id) WHERE contact_id IS NOT NULL;
CREATE INDEX plugin_values_expiry ON plugin_values (expires_at) WHERE expires_at IS NOT NULL;

-- How far each plugin has been told of a tenant's events; see events.py for what a position is. The lease is due_at.
CREATE TABLE plugin_cursors (
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    plugin    text COLLATE "C" NOT NULL,
    xid       xid8 NOT NULL,
    event_id  text COLLATE "C" NOT NULL DEFAULT '',
    due_at    timestamptz NOT NULL DEFAULT now(),
    claim     text,
    PRIMARY KEY (tenant_id, plugin)
) WITH (fillfactor = 60);
CREATE INDEX plugin_cursors_due ON plugin_cursors (plugin, due_at);

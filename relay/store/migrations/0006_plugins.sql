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

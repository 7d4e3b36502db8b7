-- How much happened in each minute, for charts: added to every few seconds, kept for a day.
CREATE TABLE rates (
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    minute      timestamptz NOT NULL,
    received    bigint NOT NULL DEFAULT 0,
    sent        bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0,
    answered    bigint NOT NULL DEFAULT 0,
    delivered   bigint NOT NULL DEFAULT 0,
    undelivered bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, minute)
) WITH (fillfactor = 50);
CREATE INDEX rates_minute ON rates (minute);

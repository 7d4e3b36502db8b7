-- When a key last opened something, to about a minute: each API process writes once a minute what it has seen.
ALTER TABLE api_keys ADD COLUMN last_used_at timestamptz;

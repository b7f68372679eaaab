-- Times are microseconds since 1970 (UTC). Secrets are stored as the hex of their SHA-256.

CREATE TABLE gateways (
    id          TEXT PRIMARY KEY,
    enrolled_at INTEGER NOT NULL,
    revoked_at  INTEGER,
    last_seen   INTEGER,
    skew_us     INTEGER
) STRICT;

-- A gateway may hold several certificates in its life; each is good until it is revoked.
CREATE TABLE certificates (
    serial     TEXT PRIMARY KEY,
    gateway    TEXT NOT NULL REFERENCES gateways (id),
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX certificates_gateway ON certificates (gateway);

CREATE TABLE tokens (
    secret_sha256 TEXT PRIMARY KEY,
    gateway       TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    used_at       INTEGER
) STRICT;

CREATE TABLE keys (
    name       TEXT PRIMARY KEY,
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    key_sha256 TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE assets (
    path                TEXT PRIMARY KEY,
    ideal_cycle_time_us INTEGER
) STRICT;

-- How far each stream is in the lake; written before the journal lets its entries go. Rows alone don't tell it: an entry may hold none.
CREATE TABLE streams (
    gateway TEXT NOT NULL,
    stream  TEXT NOT NULL,
    through INTEGER NOT NULL,
    PRIMARY KEY (gateway, stream)
) STRICT;

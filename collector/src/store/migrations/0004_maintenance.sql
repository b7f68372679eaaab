-- Events of any kind, as they were told: immutable. `body` is the whole event as JSON with its keys in order; rows are never deleted, so
-- that the greatest rowid is their number.
CREATE TABLE events (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    asset       TEXT,
    at          INTEGER NOT NULL,
    body        TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    received_by TEXT NOT NULL
) STRICT;
CREATE INDEX events_at ON events (at);
CREATE INDEX events_asset ON events (asset, at);

-- What was predicted of a machine, one a machine and hour; scored when its life has ended.
CREATE TABLE predictions (
    asset               TEXT NOT NULL,
    hour                INTEGER NOT NULL,
    at                  INTEGER NOT NULL,
    rul_h               REAL,
    lower_h             REAL,
    upper_h             REAL,
    health              REAL,
    failure_probability REAL,
    model_version       TEXT,
    -- The score: true hours left (at least, if censored), error, whether the interval held the truth, PHM score.
    true_rul_h          REAL,
    censored            INTEGER,
    error_h             REAL,
    in_interval         INTEGER,
    phm_score           REAL,
    capped              INTEGER,
    PRIMARY KEY (asset, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX predictions_at ON predictions (at);

-- Learned models and attempts at them. The model itself is a file; `lives` is the hash of the lives that it was learned from.
CREATE TABLE models (
    number             INTEGER PRIMARY KEY AUTOINCREMENT,
    kind               TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('training', 'in_use', 'retired', 'failed')),
    started_at         INTEGER NOT NULL,
    trained_at         INTEGER,
    machines           INTEGER NOT NULL,
    failures           INTEGER NOT NULL,
    held_back_rmse_h   REAL,
    held_back_coverage REAL,
    median_life_rmse_h REAL,
    features           TEXT NOT NULL DEFAULT '[]',
    reason             TEXT,
    lives              TEXT NOT NULL
) STRICT;

-- What energy costs: one tariff for the plant, as JSON, and who set it when. Without a row there is none.
CREATE TABLE tariff (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    body       TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;

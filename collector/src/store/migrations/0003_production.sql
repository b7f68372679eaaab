-- What people say of production, and the figures of shifts that have ended. Times are microseconds since 1970 (UTC).

-- The catalogue of stop reasons, whole: no row means that nobody has changed the one that comes with the product.
CREATE TABLE stop_reasons (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    reasons    TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE products (
    product            TEXT PRIMARY KEY,
    name               TEXT NOT NULL,
    ideal_cycle_time_s REAL NOT NULL CHECK (ideal_cycle_time_s > 0)
) STRICT;

-- What a person said of a stretch of time of a machine (or, of planned downtime, of what lies above machines). `to_us` is null while a product run goes on.
CREATE TABLE registrations (
    id            TEXT PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('stop_reason', 'product_run', 'changeover', 'planned_downtime')),
    place         TEXT NOT NULL,
    from_us       INTEGER NOT NULL,
    to_us         INTEGER,
    detail        TEXT NOT NULL,
    registered_by TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    CHECK (to_us IS NULL OR to_us > from_us)
) STRICT;
CREATE INDEX registrations_kind ON registrations (kind, registered_at);

-- From `at_us` on the machine `old` is `new`.
CREATE TABLE renames (
    new           TEXT PRIMARY KEY,
    old           TEXT NOT NULL UNIQUE,
    at_us         INTEGER NOT NULL,
    renamed_by    TEXT NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT;

-- The figures of each shift of each machine with their history, as `kpi::oee::ShiftRecord`.
CREATE TABLE shift_statements (
    asset      TEXT NOT NULL,
    shift_from INTEGER NOT NULL,
    shift_to   INTEGER NOT NULL,
    shift      TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    record     TEXT NOT NULL,
    PRIMARY KEY (asset, shift_from)
) STRICT;
CREATE INDEX shift_statements_to ON shift_statements (shift_to);

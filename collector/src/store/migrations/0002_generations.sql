-- What the ledger knows beside how far a stream is. Written, like `streams`, before the journal lets entries go.

-- Readings in all entries through the mark (unknown if only the lake told it), and of these the ones that another run had told.
ALTER TABLE streams ADD COLUMN readings INTEGER;
ALTER TABLE streams ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;

-- Generations of gateways' spools, and what each goes on from. Ids are hex, as those of streams.
CREATE TABLE generations (
    gateway    TEXT NOT NULL,
    generation TEXT NOT NULL,
    parent     TEXT,
    through_0  INTEGER NOT NULL DEFAULT 0,
    through_1  INTEGER NOT NULL DEFAULT 0,
    readings_0 INTEGER NOT NULL DEFAULT 0,
    readings_1 INTEGER NOT NULL DEFAULT 0,
    forked     INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    PRIMARY KEY (gateway, generation)
) STRICT;

-- missed: it once held something acknowledged that was not here. forgotten: readings of branches that its books don't know, of generations that
-- are not remembered any more.
CREATE TABLE ledgers (
    gateway   TEXT PRIMARY KEY,
    missed    INTEGER NOT NULL,
    forgotten INTEGER NOT NULL
) STRICT;

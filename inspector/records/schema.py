"""The ledger's tables. Times are UTC text, durations ns; what a person queries needs no decoding."""

SCHEMA_VERSION = 3
APPLICATION_ID = 0x49_4E_53_50
"""``INSP`` in the file's header: tells ``file`` and us what this is."""

SCHEMA = """
CREATE TABLE parts (
    id INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    session INTEGER NOT NULL,
    number INTEGER NOT NULL,
    commanded TEXT NOT NULL,
    triggered TEXT,
    outcome TEXT NOT NULL CHECK (outcome IN ('pass', 'reject')),
    reason TEXT NOT NULL,
    score REAL,
    regions TEXT NOT NULL,
    recipe TEXT NOT NULL,
    exposed_ns INTEGER,
    frame_epoch INTEGER,
    frame_id INTEGER,
    stages_ns TEXT NOT NULL,
    latency_ns INTEGER,
    late INTEGER NOT NULL CHECK (late IN (0, 1)),
    UNIQUE (lane, session, number),
    CHECK ((outcome = 'pass') = (reason = 'clean'))
) STRICT;
CREATE INDEX parts_by_time ON parts (commanded);
CREATE INDEX parts_by_lane ON parts (lane, id);
CREATE INDEX rejects_by_lane ON parts (lane, id) WHERE outcome = 'reject';

CREATE TABLE pictures (
    lane TEXT NOT NULL,
    session INTEGER NOT NULL,
    number INTEGER NOT NULL,
    stem TEXT NOT NULL,
    PRIMARY KEY (lane, session, number)
) STRICT, WITHOUT ROWID;

CREATE VIEW parts_with_pictures AS
    SELECT parts.*, pictures.stem AS picture
    FROM parts LEFT JOIN pictures USING (lane, session, number);

-- newest_part: id of the newest part when the event arrived, which tells their order whatever the clock did.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    happened TEXT NOT NULL,
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,
    details TEXT NOT NULL,
    source TEXT NOT NULL UNIQUE,
    newest_part INTEGER
) STRICT;

-- Journal lines that cannot become a row, byte for byte: torn, damaged, contradicting a constraint.
CREATE TABLE refused (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL UNIQUE,
    why TEXT NOT NULL,
    line BLOB NOT NULL
) STRICT;

-- How far each journal segment was taken; moves in the same transaction as the rows it covers.
CREATE TABLE journal_positions (
    segment TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

UPGRADES = (
    "ALTER TABLE events ADD COLUMN newest_part INTEGER;",
    """
    ALTER TABLE refused RENAME TO refused_without_order;
    CREATE TABLE refused (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL UNIQUE,
        why TEXT NOT NULL,
        line BLOB NOT NULL
    ) STRICT;
    INSERT INTO refused (source, why, line) SELECT source, why, line FROM refused_without_order;
    DROP TABLE refused_without_order;
    """,
)
"""From each version to the next, version 1 first."""

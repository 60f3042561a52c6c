"""The schemas, as lists that only grow: entry i brings a database from version i to i + 1.

The version is SQLite's `user_version`. Never edit an entry that was released; append one.
"""

from __future__ import annotations

LEDGER = (
    """
    CREATE TABLE climbs (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL,
        started_at REAL NOT NULL,          -- unix seconds
        door TEXT NOT NULL,
        tenant TEXT NOT NULL,
        session TEXT NOT NULL,
        requested_model TEXT NOT NULL,
        task TEXT NOT NULL,
        mode TEXT NOT NULL,
        private INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        outcome TEXT NOT NULL,             -- answered, failed, cut or cancelled
        rung TEXT NOT NULL,
        model TEXT NOT NULL,
        model_version TEXT NOT NULL,
        status INTEGER NOT NULL,
        finish_reason TEXT,
        error_code TEXT,
        cache TEXT NOT NULL,               -- hit, miss, bypass or empty
        first_content_ms REAL,
        total_ms REAL NOT NULL,
        input_tokens INTEGER,
        cache_read_tokens INTEGER,
        cache_write_tokens INTEGER,
        output_tokens INTEGER,
        reasoning_tokens INTEGER,
        cost_pico INTEGER,                 -- 10^-12 USD; NULL: unknown
        simulated INTEGER NOT NULL,
        unproved INTEGER NOT NULL,
        fingerprint BLOB,
        attempts TEXT NOT NULL,            -- JSON list
        request_text BLOB,                 -- only where the user turned it on
        answer_text BLOB
    );
    CREATE INDEX climbs_started_at ON climbs (started_at);
    """,
    """
    ALTER TABLE climbs ADD COLUMN purpose TEXT NOT NULL DEFAULT '';  -- why rung itself asked; '' is a caller's own
    """,
    # What many climbs have in common is kept once, in `kinds`: half the writing and a third of the file.
    # `climbs` is from here on a view of both, with the columns it had.
    """
    ALTER TABLE climbs RENAME TO wide;
    DROP INDEX climbs_started_at;
    CREATE TABLE kinds (
        id INTEGER PRIMARY KEY,
        door TEXT NOT NULL,
        tenant TEXT NOT NULL,
        requested_model TEXT NOT NULL,
        task TEXT NOT NULL,
        mode TEXT NOT NULL,
        private INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        rung TEXT NOT NULL,
        model TEXT NOT NULL,
        model_version TEXT NOT NULL,
        status INTEGER NOT NULL,
        finish_reason TEXT,
        error_code TEXT,
        cache TEXT NOT NULL,
        simulated INTEGER NOT NULL,
        unproved INTEGER NOT NULL,
        purpose TEXT NOT NULL
    );
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL,
        started_at REAL NOT NULL,
        session TEXT NOT NULL,
        first_content_ms REAL,
        total_ms REAL NOT NULL,
        input_tokens INTEGER,
        cache_read_tokens INTEGER,
        cache_write_tokens INTEGER,
        output_tokens INTEGER,
        reasoning_tokens INTEGER,
        cost_pico INTEGER,
        fingerprint BLOB,
        attempts TEXT NOT NULL,
        kind INTEGER NOT NULL,             -- kinds.id
        request_text BLOB,
        answer_text BLOB
    );
    INSERT INTO kinds SELECT NULL, * FROM (SELECT DISTINCT door, tenant, requested_model, task, mode, private, stream,
        outcome, rung, model, model_version, status, finish_reason, error_code, cache, simulated, unproved, purpose
        FROM wide);
    CREATE INDEX moving ON kinds (tenant, requested_model, model_version, error_code);
    INSERT INTO rows SELECT wide.id, request_id, started_at, session, first_content_ms, total_ms, input_tokens,
        cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_pico, fingerprint, attempts,
        kinds.id, request_text, answer_text
        FROM wide JOIN kinds USING (door, tenant, requested_model, task, mode, private, stream, outcome, rung, model,
        model_version, status, cache, simulated, unproved, purpose)
        WHERE wide.finish_reason IS kinds.finish_reason AND wide.error_code IS kinds.error_code;
    DROP INDEX moving;
    DROP TABLE wide;
    CREATE INDEX climbs_started_at ON rows (started_at);
    CREATE VIEW climbs AS SELECT rows.id AS id, request_id, started_at, session, first_content_ms, total_ms,
        input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_pico, fingerprint,
        attempts, door, tenant, requested_model, task, mode, private, stream, outcome, rung, model, model_version,
        status, finish_reason, error_code, cache, simulated, unproved, purpose, request_text, answer_text
        FROM rows JOIN kinds ON kinds.id = rows.kind;
    """,
)

CACHE = (
    """
    CREATE TABLE entries (
        key BLOB PRIMARY KEY,
        tenant TEXT NOT NULL,
        created REAL NOT NULL,             -- unix seconds
        size INTEGER NOT NULL,             -- bytes the entry counts for
        meta BLOB NOT NULL,                -- JSON: all of the entry but its data
        data BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX entries_created ON entries (created);
    CREATE INDEX entries_tenant ON entries (tenant);
    """,
)

TRUST = (
    """
    CREATE TABLE cells (
        cell TEXT PRIMARY KEY,
        updated_at REAL NOT NULL,          -- unix seconds
        snapshot BLOB NOT NULL             -- the whole state, as rung.ladder.trust writes it
    ) WITHOUT ROWID;
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY,
        cell TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        at REAL NOT NULL,
        kind TEXT NOT NULL,                -- shadow or audit
        request_id TEXT NOT NULL,
        session BLOB NOT NULL,             -- a hash
        fingerprint BLOB NOT NULL,
        probability REAL NOT NULL,         -- of being labelled, fixed before the coin was tossed
        score REAL NOT NULL,
        disagrees INTEGER NOT NULL,
        comparator TEXT NOT NULL,          -- who compared; "judged by" a model where one did
        reason TEXT NOT NULL,
        cost_pico INTEGER,                 -- of everything this label took; NULL: unknown
        evidence TEXT NOT NULL             -- JSON object of figures, what scores are made from
    );
    CREATE INDEX labels_cell ON labels (cell, epoch);
    CREATE TABLE scorers (
        base TEXT PRIMARY KEY,             -- what the cells of one score have in common
        scorer BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE cascades (
        name TEXT PRIMARY KEY,             -- check and model
        book BLOB NOT NULL                 -- JSON: tried, passed, saved, spent
    ) WITHOUT ROWID;
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        created_at REAL NOT NULL,
        job BLOB NOT NULL                  -- JSON; the only place that holds a call's text, until it is done
    ) WITHOUT ROWID;
    CREATE TABLE spends (
        id TEXT PRIMARY KEY,               -- one a background attempt
        day TEXT NOT NULL,                 -- UTC
        reserved_pico INTEGER NOT NULL,
        settled_pico INTEGER               -- NULL: not settled (yet, or because the process ended): counts in full
    ) WITHOUT ROWID;
    CREATE INDEX spends_day ON spends (day);
    CREATE TABLE served (
        request_id TEXT PRIMARY KEY,       -- answered below the reference under a promise
        at REAL NOT NULL,
        tenant TEXT NOT NULL,
        cell TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX served_at ON served (at);
    CREATE TABLE feedback (
        request_id TEXT PRIMARY KEY,       -- the last word of a caller counts
        at REAL NOT NULL,
        tenant TEXT NOT NULL,
        verdict TEXT NOT NULL,             -- right or wrong
        corrected INTEGER NOT NULL,        -- was a better text sent along? It is not kept
        cell TEXT NOT NULL                 -- empty where no promise was made
    ) WITHOUT ROWID;
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        cell TEXT NOT NULL,
        action TEXT NOT NULL               -- reset, pin or close; taken by the gateway, then deleted
    );
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        cell TEXT NOT NULL,
        what TEXT NOT NULL                 -- one sentence
    );
    """,
)

SEMANTIC = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,            -- given by rung, never twice
        scope BLOB NOT NULL,               -- fingerprint of all that must be equal
        tenant TEXT NOT NULL,
        created REAL NOT NULL,             -- unix seconds
        expires REAL NOT NULL,
        used REAL NOT NULL,
        hits INTEGER NOT NULL,
        answer INTEGER NOT NULL,           -- number of the answer among its scope's
        signature INTEGER NOT NULL,        -- what a prompt must share to be served this
        digest BLOB NOT NULL,              -- of the prompt, white space and case aside
        embedder TEXT NOT NULL,            -- its version
        vector BLOB NOT NULL,              -- 16-bit floats
        prompt TEXT,                       -- NULL where only hashes are stored
        meta BLOB NOT NULL,                -- JSON: all of the answer but its data
        data BLOB NOT NULL
    );
    CREATE INDEX entries_scope ON entries (scope);
    CREATE INDEX entries_tenant ON entries (tenant);
    CREATE TABLE scopes (
        scope BLOB PRIMARY KEY,
        tenant TEXT NOT NULL,
        updated REAL NOT NULL,
        embedder TEXT NOT NULL,
        told TEXT NOT NULL,                -- JSON: its cell, for people
        snapshot BLOB                      -- what was learnt; holds vectors, no text
    ) WITHOUT ROWID;
    """,
)

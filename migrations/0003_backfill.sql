-- The queue of backfills: what migrate has put there, and how far each is. An older pawl does not look here; it takes a
-- queued backfill for an applied migration.

create table pawl.backfill (
    -- of the migration, in its canonical form
    version       text primary key,
    name          text not null,
    checksum      text not null,
    -- as the file has it, without the directive
    statement     text not null,
    -- the directive's options
    options       jsonb not null default '{}',
    -- true once nothing is left to move; empty where no query tells
    done_query    text not null default '',
    search_path   text not null,
    -- the table that is gone through, by its name in the search path above, and what its rows' key is
    relation      text not null,
    goes_by       text not null default '',
    state         text not null check (state in ('queued', 'running', 'paused', 'done', 'aborted', 'failed')),
    -- why it is paused, aborted or failed
    reason        text not null default '',
    -- what makes it wait at the moment, and what cannot be watched; empty for nothing
    limited_by    text not null default '',
    unwatched     text[] not null default '{}',
    -- how often the table has been gone through: again where the done query found something left
    pass          int not null default 0,
    -- rows of the table gone through per second, by the last worker that said so
    rate          float8 not null default 0,
    queued_at     timestamptz not null default clock_timestamp(),
    started_at    timestamptz,
    finished_at   timestamptz,
    heartbeat_at  timestamptz,
    pawl_version  text not null
);

-- A stretch of a table's key, or of its blocks, for one worker at a time. Cursor and rows commit together.
create table pawl.backfill_range (
    version       text not null references pawl.backfill,
    pass          int not null,
    range         int not null,
    -- the table itself, or one of its partitions
    schema_name   text not null,
    relation_name text not null,
    relid         oid not null,
    -- columns of the key; none for blocks, and why
    key           text[] not null,
    why           text not null default '',
    -- values of the key as text: from behind lower up to and with upper; by blocks from lower up to and without upper.
    -- A null lower is the beginning.
    lower         text[],
    upper         text[] not null,
    cursor        text[],
    done          boolean not null default false,
    rows_estimate bigint not null,
    rows_seen     bigint not null default 0,
    rows_changed  bigint not null default 0,
    batches       bigint not null default 0,
    batch_size    int not null default 0,
    wal_bytes     bigint not null default 0,
    busy_ms       bigint not null default 0,
    worker        text not null default '',
    updated_at    timestamptz not null default clock_timestamp(),
    primary key (version, pass, range)
) with (fillfactor = 50);

update pawl.meta set value = '3', changed_at = clock_timestamp(), changed_by = current_user where key = 'ledger';

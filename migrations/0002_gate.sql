-- What the gate goes by besides releases and their manifests, and what contracts have taken.

-- What a person has answered for: that a consumer does not need an object, whatever else is known or not known. Rows are
-- only ever added; one with `revokes` takes another back. An acknowledgement ends by itself, by the database's clock.
create table pawl.acknowledgement (
    id           bigint generated always as identity primary key,
    revokes      bigint references pawl.acknowledgement,
    -- dotted name as the gate prints it
    object       text not null,
    consumer     text not null,
    -- empty: every release of the consumer
    release      text not null default '',
    -- also what PostgreSQL proves to break
    broken       boolean not null default false,
    reason       text not null check (reason <> ''),
    until        timestamptz,
    at           timestamptz not null default clock_timestamp(),
    by_role      text not null default session_user,
    -- who, where the role does not tell: the operating system's user, a CI job
    by_person    text not null default '',
    client       text not null default coalesce(current_setting('application_name', true), ''),
    pawl_version text not null,
    check ((revokes is null) = (until is not null))
);

create trigger append_only before update or delete or truncate on pawl.acknowledgement
    for each statement execute function pawl.refuse_change();

-- What applied contracts took from code, so that a release which comes back is told by which one, although its own
-- directory of migrations does not have the file.
create table pawl.taken (
    id      bigint generated always as identity primary key,
    version text not null,
    name    text not null,
    at      timestamptz not null default clock_timestamp(),
    -- {"object": {"kind", "schema", "relation", "column", "name"}, "uses", "certainty"}
    take    jsonb not null,
    summary text not null default ''
);

create trigger append_only before update or delete or truncate on pawl.taken
    for each statement execute function pawl.refuse_change();

-- Under which login roles a consumer connects.
create table pawl.consumer_role (
    consumer     text not null,
    role         text not null,
    at           timestamptz not null default clock_timestamp(),
    by_role      text not null default session_user,
    pawl_version text not null,
    primary key (consumer, role)
);

-- One look at pg_stat_statements.
create table pawl.observation (
    id           bigint generated always as identity primary key,
    at           timestamptz not null default clock_timestamp(),
    stats_reset  timestamptz,
    dealloc      bigint,
    track        text not null default '',
    -- statements read; of which the text was hidden from pawl's role
    statements   integer not null,
    hidden       integer not null,
    -- what was noticed: evictions, a reset, settings that hide statements
    problems     jsonb not null default '[]',
    client       text not null default coalesce(current_setting('application_name', true), ''),
    pawl_version text not null
);

-- Texts that roles were seen to send. `consumer` is empty where the role belongs to none; `explained` says whether a
-- manifest of that consumer has the text, as of the last look.
create table pawl.observed (
    role       text not null,
    sha256     text not null references pawl.query,
    consumer   text not null default '',
    explained  boolean not null default false,
    calls      bigint not null,
    first_seen timestamptz not null,
    last_seen  timestamptz not null,
    primary key (role, sha256)
);

-- Columns and tables that are set aside under another name before they are dropped.
create table pawl.soft_drop (
    version      text not null primary key,
    name         text not null,
    checksum     text not null,
    state        text not null check (state in ('aside', 'restored', 'dropped')),
    -- [{"schema", "relation", "column", "aside"}]
    objects      jsonb not null,
    set_aside_at timestamptz not null default clock_timestamp(),
    due_at       timestamptz not null,
    detail       jsonb not null default '{}',
    pawl_version text not null
);

update pawl.meta set value = '2', changed_at = clock_timestamp(), changed_by = current_user where key = 'ledger';

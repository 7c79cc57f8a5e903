-- pawl's own tables. They live in the database that pawl migrates, so that what was done and the record of it commit
-- together. Everything here is additive for ever: an older pawl must be able to read a newer ledger.

create schema pawl;

-- Frozen for all versions of pawl: an older pawl reads it to learn whether it may go on.
--   ledger       the newest of these migrations that was applied
--   min_reader   the oldest ledger version that a pawl must know to read this ledger
--   environment  'production' or 'dev', stamped at first use
create table pawl.meta (
    key        text primary key,
    value      text not null,
    changed_at timestamptz not null default clock_timestamp(),
    changed_by text not null default current_user
);

create table pawl.migration (
    version       text primary key,
    name          text not null,
    checksum      text not null,
    phase         text not null,
    state         text not null check (state in ('running', 'applied', 'held')),
    transactional boolean not null,
    -- 'migrate', or how the row came here otherwise: 'baseline', 'resolved', the name of an adopted tool
    origin        text not null default 'migrate',
    started_at    timestamptz not null default clock_timestamp(),
    finished_at   timestamptz,
    duration_ms   bigint,
    applied_by    text not null default current_user,
    client        text not null default coalesce(current_setting('application_name', true), ''),
    pawl_version  text not null,
    -- why a held migration is held, as the gate's findings
    reason        jsonb
);

-- Everything that was done, refused or overridden. Rows are only ever added.
create table pawl.event (
    id           bigint generated always as identity primary key,
    at           timestamptz not null default clock_timestamp(),
    kind         text not null,
    version      text,
    detail       jsonb not null default '{}',
    by_role      text not null default session_user,
    client       text not null default coalesce(current_setting('application_name', true), ''),
    pawl_version text not null
);

-- Texts are kept once, however many releases send them.
create table pawl.query (
    sha256 text primary key,
    text   text not null
);

create table pawl.release (
    consumer      text not null,
    release       text not null,
    registered_at timestamptz not null default clock_timestamp(),
    -- null: nothing is known of what this release sends
    status        text check (status in ('complete', 'partial')),
    reasons       text[] not null default '{}',
    digests       text[] not null default '{}',
    toolchain     text not null default '',
    -- SHA-256 of the manifests registered for this release; one build that registers two is judged by both
    manifests     text[] not null default '{}',
    -- what the manifests say besides whole statements: templates, fragments, models, opaque sites, tokens; one entry each
    parts         jsonb not null default '[]',
    primary key (consumer, release)
);

create table pawl.release_query (
    consumer text not null,
    release  text not null,
    sha256   text not null references pawl.query,
    sites    jsonb not null default '[]',
    params   jsonb,
    primary key (consumer, release, sha256),
    foreign key (consumer, release) references pawl.release
);

-- What happened to releases; which of them may run is derived from it.
create table pawl.release_event (
    id           bigint generated always as identity primary key,
    consumer     text not null,
    release      text not null,
    kind         text not null,
    at           timestamptz not null default clock_timestamp(),
    reason       text not null default '',
    by_role      text not null default session_user,
    client       text not null default coalesce(current_setting('application_name', true), ''),
    pawl_version text not null,
    foreign key (consumer, release) references pawl.release
);

create index release_event_release on pawl.release_event (consumer, release, at);

-- What the gate decided, with the evidence it went by.
create table pawl.decision (
    id           bigint generated always as identity primary key,
    version      text not null,
    checksum     text not null,
    at           timestamptz not null default clock_timestamp(),
    allowed      boolean not null,
    verdict      text not null,
    findings     jsonb not null,
    evidence     jsonb not null,
    pawl_version text not null
);

create function pawl.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'pawl.% is append-only', tg_table_name
        using hint = 'record a further event instead';
end
$$;

create trigger append_only before update or delete or truncate on pawl.event
    for each statement execute function pawl.refuse_change();
create trigger append_only before update or delete or truncate on pawl.release_event
    for each statement execute function pawl.refuse_change();
create trigger append_only before update or delete or truncate on pawl.decision
    for each statement execute function pawl.refuse_change();

-- Records a migration as applied. It is the last statement of the migration's own transaction, and it fails, taking
-- the migration with it, when the session does not hold the lock by which runners take turns: a lock that was lost
-- to a pooler or to DISCARD ALL must not let two runners work at once.
create function pawl.record_applied(
    p_version text, p_name text, p_checksum text, p_phase text, p_transactional boolean,
    p_pawl_version text, p_lock_key bigint, p_origin text
) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    began timestamptz := transaction_timestamp();
begin
    if not exists (
        select from pg_locks
        where locktype = 'advisory' and pid = pg_backend_pid() and granted and objsubid = 1
          and database = (select oid from pg_database where datname = current_database())
          and ((classid::bigint << 32) | objid::bigint) = p_lock_key
    ) then
        raise exception 'this session no longer holds pawl''s advisory lock' using errcode = 'PW001';
    end if;
    insert into pawl.migration as m
        (version, name, checksum, phase, state, transactional, origin, started_at, finished_at, duration_ms, pawl_version)
    values
        (p_version, p_name, p_checksum, p_phase, 'applied', p_transactional, p_origin, began, clock_timestamp(),
         (extract(epoch from clock_timestamp() - began) * 1000)::bigint, p_pawl_version)
    on conflict (version) do update set
        name = excluded.name, checksum = excluded.checksum, phase = excluded.phase, state = 'applied',
        transactional = excluded.transactional, origin = excluded.origin,
        started_at = case when m.state = 'running' then m.started_at else excluded.started_at end,
        finished_at = excluded.finished_at,
        duration_ms = (extract(epoch from clock_timestamp() - case when m.state = 'running' then m.started_at else excluded.started_at end) * 1000)::bigint,
        applied_by = excluded.applied_by, client = excluded.client, pawl_version = excluded.pawl_version, reason = null
        where m.state <> 'applied';
    if not found then
        raise exception 'migration % is recorded as applied already', p_version using errcode = 'PW002';
    end if;
    insert into pawl.event (kind, version, detail, pawl_version)
    values ('applied', p_version, jsonb_build_object('name', p_name, 'checksum', p_checksum, 'phase', p_phase, 'origin', p_origin), p_pawl_version);
end
$$;

insert into pawl.meta (key, value) values ('ledger', '1'), ('min_reader', '1');

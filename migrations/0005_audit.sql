-- Who did what, for an auditor, and what the schema was when it was last known to be right.

-- The operating system's user, the CI job or the pod behind a session, where the role does not tell. pawl says so when it connects.
alter table pawl.event add column person text not null default '';
alter table pawl.event alter column person set default coalesce(current_setting('pawlrun.person', true), '');
alter table pawl.release_event add column person text not null default '';
alter table pawl.release_event alter column person set default coalesce(current_setting('pawlrun.person', true), '');
alter table pawl.decision add column by_role text not null default '', add column client text not null default '',
    add column person text not null default '';
alter table pawl.decision alter column by_role set default session_user,
    alter column client set default coalesce(current_setting('application_name', true), ''),
    alter column person set default coalesce(current_setting('pawlrun.person', true), '');

-- The schema as it was, to tell later what was changed past pawl. Rows are only ever added.
create table pawl.snapshot (
    id           bigint generated always as identity primary key,
    at           timestamptz not null default clock_timestamp(),
    -- SHA-256 of the lines
    fingerprint  text not null,
    lines        text[] not null,
    -- relations of another migration tool, which are not in the lines
    left_out     text[] not null default '{}',
    pawl_version text not null
);

create trigger append_only before update or delete or truncate on pawl.snapshot
    for each statement execute function pawl.refuse_change();

-- Settings, roles and applied rows are followed by the log of events, whoever changes them.
create function pawl.log_change() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    row_ jsonb := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
    kind_ text;
    detail_ jsonb;
begin
    case tg_table_name
    when 'consumer_role' then
        kind_ := case tg_op when 'DELETE' then 'role removed' else 'role added' end;
        detail_ := jsonb_build_object('consumer', row_ -> 'consumer', 'role', row_ -> 'role');
    when 'meta' then
        -- pawl's own note while a first installation is under way
        if row_ ->> 'key' = 'installing' then
            return null;
        end if;
        kind_ := case row_ ->> 'key' when 'environment' then 'environment stamped' when 'ledger' then 'ledger upgraded' else 'ledger setting changed' end;
        detail_ := jsonb_build_object('key', row_ -> 'key', 'value', case when tg_op <> 'DELETE' then row_ -> 'value' end,
            'before', case when tg_op <> 'INSERT' then to_jsonb(old) -> 'value' end);
    when 'migration' then
        kind_ := case tg_op when 'DELETE' then 'ledger row removed' else 'ledger row changed' end;
        detail_ := jsonb_build_object('name', row_ -> 'name', 'checksum', row_ -> 'checksum', 'before', to_jsonb(old) - 'reason');
    end case;
    insert into pawl.event (kind, version, detail, pawl_version)
    values (kind_, row_ ->> 'version', jsonb_strip_nulls(detail_), coalesce(current_setting('pawlrun.version', true), ''));
    return null;
end
$$;

create trigger log_change after insert or delete on pawl.consumer_role
    for each row execute function pawl.log_change();
create trigger log_change after insert or update or delete on pawl.meta
    for each row execute function pawl.log_change();
create trigger log_removed after delete on pawl.migration
    for each row when (old.state = 'applied') execute function pawl.log_change();
create trigger log_changed after update on pawl.migration
    for each row when (old.state = 'applied' and (old.version, old.name, old.checksum, old.state) is distinct from (new.version, new.name, new.checksum, new.state))
    execute function pawl.log_change();

update pawl.meta set value = '5', changed_at = clock_timestamp(), changed_by = current_user where key = 'ledger';

-- Texts that were proved to be the one that was applied.

-- Checksums of later texts of the file that differ from the applied one in blanks and comments alone. checksum stays that of the
-- text which ran, so that a release that has the file as it was agrees with the ledger too.
alter table pawl.migration add column same text[] not null default '{}';

drop trigger log_changed on pawl.migration;
create trigger log_changed after update on pawl.migration
    for each row when (old.state = 'applied' and (old.version, old.name, old.checksum, old.state, old.same) is distinct from (new.version, new.name, new.checksum, new.state, new.same))
    execute function pawl.log_change();

update pawl.meta set value = '6', changed_at = clock_timestamp(), changed_by = current_user where key = 'ledger';

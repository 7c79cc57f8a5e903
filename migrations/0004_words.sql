-- The words of each statement, by which the gate finds those that a change may affect among very many.

-- Runs of letters, digits, _ and $, in lower case as far as ASCII goes, as much of each as a name can have. A text that
-- may write a name otherwise, by escapes or in several strings, has the word * as well, and so has one that is not what
-- its hash says.
create function pawl.words(p_sha256 text, p_text text) returns text[] language sql immutable strict parallel safe as $$
    select coalesce(array_agg(distinct w), '{}')
    from (
        select left(w, 63) collate "C" as w
        from pg_catalog.regexp_split_to_table(pg_catalog.lower(p_text collate "C"), '[^a-z0-9_$]+') as w
        where w <> ''
        union all
        select '*' where strpos(p_text, '\') > 0 or strpos(pg_catalog.lower(p_text collate "C"), 'u&') > 0
            or p_sha256 <> encode(sha256(convert_to(p_text, 'UTF8')), 'hex')
            or p_text ~ '''[ \t\r\n\f\v]*[\r\n][ \t\r\n\f\v]*'''
    ) as words
$$;

alter table pawl.query add column words text[] generated always as (pawl.words(sha256, text)) stored;

create index query_words on pawl.query using gin (words);

create index release_query_sha256 on pawl.release_query (sha256);

update pawl.meta set value = '4', changed_at = clock_timestamp(), changed_by = current_user where key = 'ledger';

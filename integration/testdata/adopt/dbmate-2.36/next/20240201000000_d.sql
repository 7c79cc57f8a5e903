-- migrate:up transaction:false
create index concurrently b_id on b (id);

-- migrate:down transaction:false
drop index b_id;


-- a comment before
--   migrate:up   transaction:true
create table short (id int);
-- migrate:down

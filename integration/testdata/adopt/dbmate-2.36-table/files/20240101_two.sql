-- migrate:up
create table a (id int);
-- migrate:down
drop table a;
-- migrate:up
create table b (id int);
-- migrate:down
drop table b;

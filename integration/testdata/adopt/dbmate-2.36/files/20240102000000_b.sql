-- migrate:up
create table b (id int);
-- migrate:down
drop table b;

-- migrate:up
create table seven (id int);
-- migrate:down
drop table seven;

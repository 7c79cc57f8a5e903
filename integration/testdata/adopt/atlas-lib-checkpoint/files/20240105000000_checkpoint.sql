-- atlas:checkpoint

create table a (id int);
create index ai on a (id);
create table b (id int);
create table c (id int);

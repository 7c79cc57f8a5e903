create table r1 (id int); -- c
create table r1b (id int);

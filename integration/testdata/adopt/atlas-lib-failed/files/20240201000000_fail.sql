create table e1 (id int);
create table e2 (id int);
create table e1 (id int);

create table e1 (id int);

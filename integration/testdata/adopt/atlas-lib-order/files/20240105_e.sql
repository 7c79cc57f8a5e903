create table e (id int);

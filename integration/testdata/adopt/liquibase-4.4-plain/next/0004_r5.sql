create table r5 (id int);

create table n (id int);

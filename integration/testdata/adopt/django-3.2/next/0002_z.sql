create table z (id int);

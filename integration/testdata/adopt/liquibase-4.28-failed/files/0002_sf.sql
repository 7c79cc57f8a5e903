create table sf (id int);

create table nm (id int);

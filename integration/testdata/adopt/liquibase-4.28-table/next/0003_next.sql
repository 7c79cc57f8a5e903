--liquibase formatted sql
--changeset ann:4
create table d (id int);
--rollback drop table d;
--changeset ann:5 endDelimiter://
create function five() returns int language sql as $$ select 5; $$
//
create table e (id int)
//

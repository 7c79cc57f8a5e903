--liquibase formatted sql

--changeset ann:1
create table a (id int);

--changeset ann:2 labels:"x and y" context:"test or prod"
--comment: adds b
-- a plain comment
create table b (
	id   int,   -- trailing comment
	name text /* block */
);


insert into b values (1, 'a;b');
--rollback drop table b;

--changeset bob:three splitStatements:false stripComments:false
create function f() returns int language sql as $$ select 1; $$;
-- last comment
--rollback drop function f();
--rollback select 1;

--liquibase formatted sql

--changeset crlf:1
create table crlf (id int,
	name text
);

--rollback drop table crlf;
--changeset crlf:2
create table crlf2 (id int);
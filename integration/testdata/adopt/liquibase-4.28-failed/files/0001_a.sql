--liquibase formatted sql
--changeset ann:1
create table a (id int);
--changeset ann:2
create table a (id int);
--changeset ann:3
create table c (id int);

--liquibase formatted sql

create table never_run (id int);

--changeset ann:oracle dbms:oracle
create table o (id number(3));

--changeset ann:7 runInTransaction:false
--ignoreLines:1
this is no SQL
create index concurrently b_name on b (name);
--rollback drop index b_name;

--liquibase formatted sql
--changeset ann:4
create table d (id int);
--rollback drop table d;

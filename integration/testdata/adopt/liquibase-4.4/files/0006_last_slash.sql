--liquibase formatted sql
--changeset sl:1
create table lastslash (id int)
/

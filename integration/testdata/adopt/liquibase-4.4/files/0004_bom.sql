--liquibase formatted sql
--changeset bom:1
create table bom (id int); -- grüße €
comment on table bom is 'ä x';

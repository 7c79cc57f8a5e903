--liquibase formatted sql

--changeset z:1
create table r3 (id int);

/* liquibase rollback
drop table r3;
*/

--changeset "Q A":"id 2" labels:a
create table r4 (id int);
--rollback drop table r4;
--property name:pp value:qq
insert into r4 values (1);

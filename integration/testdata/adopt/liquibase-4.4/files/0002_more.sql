-- liquibase formatted sql

-- changeset ann:1 runInTransaction:false
create index concurrently on a (id);

-- changeset ann:2 runOnChange:true
create or replace view v as select 1 as x;

-- changeset ann:3 runAlways:true
-- comment grants
grant select on a to public;

-- changeset ann:4 endDelimiter://
create table e1 (id int)
//
create table e2 (id int)
//

-- changeset ann:5 endDelimiter:\nGO splitStatements:true
create table g1 (id int)
GO
create table g2 (id int)
GO

-- changeset ann:6 dbms:postgresql,h2
create table dd (id int);

-- changeset ann:7 failOnError:true logicalFilePath:logical/x.sql
create table lfp (id int);

--changeset   ann:8   
   create table sp (id int)  ;   

   --changeset ann:9 splitStatements:"false"
create table q9 (id int);
--preconditions onFail:MARK_RAN onError:HALT
--precondition-sql-check expectedResult:0 select count(*) from a where id = 7
--validCheckSum: 8:abc
--validCheckSum: any
--changeset ann:10 rollbackEndDelimiter:@@ rollbackSplitStatements:false
create table red (id int);
--rollback drop table red

--liquibase formatted sql
create table never_run (id int);
--changeset odd:1 dbms:mysql
create table my (id int) engine=innodb;
--changeset odd:3
create table igl (id int);
--ignoreLines:1
this is no SQL
create table igl2 (id int);
--ignoreLines:start
neither is this
--ignoreLines:end
create table igl3 (id int);
--changeset odd:4
create table prm_${x} (id int, d text default '${unknown}');
--changeset odd:5
create table dup (id int);
--rollback empty
--changeset odd:6 onValidationFail:MARK_RAN stripComments:true
/* head
 comment */
create table sc (id int); --end
-- tail
--changeset odd:7
--preconditions onFail:MARK_RAN
--precondition-sql-check expectedResult:1 select count(*) from pg_class where relname = 'zzz'
create table zzz (id int);
--changeset odd:8 endDelimiter:;
create table ed (id int);
--changeset odd:9 splitStatements:TRUE stripComments:False
create table nine (id int);   
--   comment not one
--changeset odd:10
create table ten (id int);


                                                                                                                                                                     
insert into ten values (1);
/
--changeset Ann Lee:id/with.dots-and_x
create table annlee (id int);
--changeset odd:11 endDelimiter:/
create table sl1 (id int)
/
create table sl2 (id int)
/

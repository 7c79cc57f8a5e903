CREATE SCHEMA hist;

CREATE TABLE hist.databasechangeloglock (
    id integer NOT NULL,
    locked boolean NOT NULL,
    lockgranted timestamp without time zone,
    lockedby character varying(255)
);

CREATE TABLE hist.my_history (
    id character varying(255) NOT NULL,
    author character varying(255) NOT NULL,
    filename character varying(255) NOT NULL,
    dateexecuted timestamp without time zone NOT NULL,
    orderexecuted integer NOT NULL,
    exectype character varying(10) NOT NULL,
    md5sum character varying(35),
    description character varying(255),
    comments character varying(255),
    tag character varying(255),
    liquibase character varying(20),
    contexts character varying(255),
    labels character varying(255),
    deployment_id character varying(10)
);

CREATE TABLE public.a (
    id integer
);

CREATE TABLE public.b (
    id integer
);

CREATE TABLE public.c (
    id integer
);

CREATE TABLE public.sf (
    id integer
);

INSERT INTO hist.databasechangeloglock VALUES (1, false, NULL, NULL);

INSERT INTO hist.my_history VALUES ('sf', 'ann', 'root.xml', '2026-11-28 19:55:12.271896', 1, 'EXECUTED', '9:18651da7ece97431cb4e5a0536539f53', 'sqlFile path=m/0002_sf.sql', '', NULL, '4.28.0', NULL, NULL, '5895712203');
INSERT INTO hist.my_history VALUES ('1', 'ann', 'm/0001_a.sql', '2026-11-28 19:55:12.285206', 2, 'EXECUTED', '9:bc977861bd4473eb06a874429a50b8f6', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895712203');
INSERT INTO hist.my_history VALUES ('2', 'ann', 'm/0001_a.sql', '2026-11-28 19:55:12.310508', 3, 'EXECUTED', '9:4ccccc9eab4f4e56a6297af436a1d73e', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895712203');
INSERT INTO hist.my_history VALUES ('3', 'ann', 'm/0001_a.sql', '2026-11-28 19:55:12.331184', 4, 'EXECUTED', '9:1d2a14cee0d5ea5214617aeaa0fa44c4', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895712203');

ALTER TABLE ONLY hist.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);


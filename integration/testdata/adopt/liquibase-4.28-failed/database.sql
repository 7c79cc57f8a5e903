CREATE TABLE public.a (
    id integer
);

CREATE TABLE public.databasechangelog (
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

CREATE TABLE public.databasechangeloglock (
    id integer NOT NULL,
    locked boolean NOT NULL,
    lockgranted timestamp without time zone,
    lockedby character varying(255)
);

CREATE TABLE public.sf (
    id integer
);

INSERT INTO public.databasechangelog VALUES ('sf', 'ann', 'rootp.xml', '2026-11-28 19:55:49.431934', 1, 'EXECUTED', '9:18651da7ece97431cb4e5a0536539f53', 'sqlFile path=mp/0002_sf.sql', '', NULL, '4.28.0', NULL, NULL, '5895749355');
INSERT INTO public.databasechangelog VALUES ('1', 'ann', 'mp/0001_a.sql', '2026-11-28 19:55:49.44999', 2, 'EXECUTED', '9:bc977861bd4473eb06a874429a50b8f6', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895749355');

INSERT INTO public.databasechangeloglock VALUES (1, false, NULL, NULL);

ALTER TABLE ONLY public.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);


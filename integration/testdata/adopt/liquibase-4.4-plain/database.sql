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

CREATE TABLE public.r1 (
    id integer
);

CREATE TABLE public.r1b (
    id integer
);

CREATE TABLE public.r2 (
    id integer
);

CREATE TABLE public.r3 (
    id integer
);

CREATE TABLE public.r4 (
    id integer
);

INSERT INTO public.databasechangelog VALUES ('raw', 'includeAll', 'raw/0001_r1.sql', '2026-11-28 19:47:00.512312', 1, 'EXECUTED', '8:0a6cf3a24103a149289dcbf330827593', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895220229');
INSERT INTO public.databasechangelog VALUES ('raw', 'includeAll', 'raw/0002_r2.sql', '2026-11-28 19:47:00.700957', 2, 'EXECUTED', '8:4db56503c843cd059da66dabae1e28d5', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895220229');
INSERT INTO public.databasechangelog VALUES ('1', 'z', 'raw/0003_f.sql', '2026-11-28 19:47:00.77783', 3, 'EXECUTED', '8:98404c603de912bcfce7702160913068', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895220229');
INSERT INTO public.databasechangelog VALUES ('"id', '"Q A"', 'raw/0003_f.sql', '2026-11-28 19:47:00.821994', 4, 'EXECUTED', '8:bb7bf4bcd8b585ad5988080d6349d9cd', 'sql', '', NULL, '4.4.0', NULL, 'a', '5895220229');

INSERT INTO public.databasechangeloglock VALUES (1, false, NULL, NULL);

INSERT INTO public.r4 VALUES (1);

ALTER TABLE ONLY public.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);


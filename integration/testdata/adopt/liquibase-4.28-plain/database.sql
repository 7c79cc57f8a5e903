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

INSERT INTO public.databasechangelog VALUES ('raw', 'includeAll', 'raw/0001_r1.sql', '2026-11-28 19:46:57.830837', 1, 'EXECUTED', '9:9223448be7d4638d55bff593c8942d8b', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895217764');
INSERT INTO public.databasechangelog VALUES ('raw', 'includeAll', 'raw/0002_r2.sql', '2026-11-28 19:46:57.845935', 2, 'EXECUTED', '9:4d84296f1536dfda3f7ff29dfc4e9256', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895217764');
INSERT INTO public.databasechangelog VALUES ('1', 'z', 'raw/0003_f.sql', '2026-11-28 19:46:57.850931', 3, 'EXECUTED', '9:7531b89a16fb9ccc44f7483c5965cfbf', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895217764');
INSERT INTO public.databasechangelog VALUES ('id 2', 'Q A', 'raw/0003_f.sql', '2026-11-28 19:46:57.897734', 4, 'EXECUTED', '9:5ab4e090117ea604cda6895fad142642', 'sql', '', NULL, '4.28.0', NULL, 'a', '5895217764');

INSERT INTO public.databasechangeloglock VALUES (1, false, NULL, NULL);

INSERT INTO public.r4 VALUES (1);

ALTER TABLE ONLY public.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);


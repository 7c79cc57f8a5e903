CREATE FUNCTION public.f() RETURNS integer
    LANGUAGE sql
    AS $$ select 1; $$;

CREATE TABLE public.a (
    id integer
);

CREATE TABLE public.annlee (
    id integer
);

CREATE TABLE public.b (
    id integer,
    name text
);

CREATE TABLE public.bom (
    id integer
);

COMMENT ON TABLE public.bom IS 'ä x';

CREATE TABLE public.crlf (
    id integer,
    name text
);

CREATE TABLE public.crlf2 (
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

CREATE TABLE public.dd (
    id integer
);

CREATE TABLE public.dup (
    id integer
);

CREATE TABLE public.e1 (
    id integer
);

CREATE TABLE public.e2 (
    id integer
);

CREATE TABLE public.ed (
    id integer
);

CREATE TABLE public.from_file (
    id integer
);

CREATE TABLE public.g1 (
    id integer
);

CREATE TABLE public.g2 (
    id integer
);

CREATE TABLE public.igl (
    id integer
);

CREATE TABLE public.igl2 (
    id integer
);

CREATE TABLE public.igl3 (
    id integer
);

CREATE TABLE public.lastslash (
    id integer
);

CREATE TABLE public.lfp (
    id integer
);

CREATE TABLE public.nine (
    id integer
);

CREATE TABLE public.prm_px (
    id integer,
    d text DEFAULT '${unknown}'::text
);

CREATE TABLE public.q9 (
    id integer
);

CREATE TABLE public.red (
    id integer
);

CREATE TABLE public.sc (
    id integer
);

CREATE TABLE public.sl1 (
    id integer
);

CREATE TABLE public.sl2 (
    id integer
);

CREATE TABLE public.sp (
    id integer
);

CREATE TABLE public.ten (
    id integer
);

CREATE VIEW public.v AS
 SELECT 1 AS x;

CREATE TABLE public.xs (
    id integer
);

CREATE TABLE public.xt (
    id integer,
    n text
);

INSERT INTO public.b VALUES (1, 'a;b');

INSERT INTO public.databasechangelog VALUES ('xml-1', 'ann', 'db/root.xml', '2026-11-28 19:45:22.820811', 1, 'EXECUTED', '9:b988635db4bdd341d93145b98cefe470', 'createTable tableName=xt', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('xml-2', 'ann', 'db/root.xml', '2026-11-28 19:45:22.882577', 2, 'EXECUTED', '9:3e8464ec2efc8eaaeb2eae519e6c5d88', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('xml-3', 'ann', 'db/root.xml', '2026-11-28 19:45:22.903419', 3, 'EXECUTED', '9:947209779ce9e37429be66133c0efc87', 'sqlFile path=db/plain_file.txt', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('y1', 'ann', 'db/sub.yaml', '2026-11-28 19:45:22.916259', 4, 'EXECUTED', '9:d07ad40d68787cfd9ad7bfd93ee7073b', 'addColumn tableName=xt', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('1', 'ann', 'db/0001_plain.sql', '2026-11-28 19:45:22.928565', 5, 'EXECUTED', '9:bc977861bd4473eb06a874429a50b8f6', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('2', 'ann', 'db/0001_plain.sql', '2026-11-28 19:45:22.954716', 6, 'EXECUTED', '9:c9fee4d3f4c78236cfb8a195158204e9', 'sql', 'adds b', NULL, '4.28.0', '(test or prod)', 'x and y', '5895122739');
INSERT INTO public.databasechangelog VALUES ('three', 'bob', 'db/0001_plain.sql', '2026-11-28 19:45:22.969663', 7, 'EXECUTED', '9:9e071dd8f185f93cdac582e312dd25d1', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('1', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:22.983161', 8, 'EXECUTED', '9:0da82e335428f3cd41f56a853940a63f', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('2', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:22.988734', 9, 'EXECUTED', '9:38e455102cb5bc5f9533bbe073a70661', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('3', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:22.991311', 10, 'EXECUTED', '9:46d9e1773d6c580f32a574f5ec9602c3', 'sql', 'grants', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('4', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:22.995379', 11, 'EXECUTED', '9:3209aed6f499f51af148601d32cc1525', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('5', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:22.998843', 12, 'EXECUTED', '9:30e21aae5b27b3b0c91460098d9fb73f', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('6', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:23.001275', 13, 'EXECUTED', '9:cf61d8b5c1da437e487cad4d65e21b2a', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('7', 'ann', 'logical/x.sql', '2026-11-28 19:45:23.003596', 14, 'EXECUTED', '9:8cde7d27e2c86cce9df1d4859968b5fc', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('8', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:23.005933', 15, 'EXECUTED', '9:766706b756c5b40c67b1207044990625', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('9', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:23.008845', 16, 'EXECUTED', '9:e5d736ce9b29dae6302aca2265974598', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('10', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:23.011646', 17, 'EXECUTED', '9:f7f3be102ff409642435ca17a9d7ef04', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('1', 'crlf', 'db/0003_crlf.sql', '2026-11-28 19:45:23.015326', 18, 'EXECUTED', '9:14b8834d9c787d5eb922ffe7f745bc24', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('2', 'crlf', 'db/0003_crlf.sql', '2026-11-28 19:45:23.018393', 19, 'EXECUTED', '9:e2f649270a9ab88bba7e90f484d51b4b', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('1', 'bom', 'db/0004_bom.sql', '2026-11-28 19:45:23.022103', 20, 'EXECUTED', '9:14b9050335665ed5f5f0882f4579b09a', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('3', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:23.026505', 21, 'EXECUTED', '9:099ba5b1caadb657e6dce110c07c1e7e', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('4', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:23.035652', 22, 'EXECUTED', '9:bbdfd33c0b59e3152580f6ddba256060', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('5', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:23.058564', 23, 'EXECUTED', '9:f23663e355f2c8f90c79f86a0f229574', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('6', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:23.065761', 24, 'EXECUTED', '9:e80522e4d8a897f4b98497f13019ebad', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('7', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:23.08015', 25, 'MARK_RAN', '9:e9ab20a20ac3515d49d2c3bf435dc946', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('8', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:23.103539', 26, 'EXECUTED', '9:7d66317937ceef940d47a0859695aaa0', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('9', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:23.112135', 27, 'EXECUTED', '9:7ceb5e5c773eedf36edb1415db65c388', 'sql', 'not one', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('10', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:23.123919', 28, 'EXECUTED', '9:457bb649fe01847f47f4594ac5087d77', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('id/with.dots-and_x', 'Ann Lee', 'db/0005_odd.sql', '2026-11-28 19:45:23.13868', 29, 'EXECUTED', '9:6e6d58ecd796e7bd69b9177a2fb7255d', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('11', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:23.144506', 30, 'EXECUTED', '9:4c9d9327d8ffb20ba4a28e4b89ddd75f', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('1', 'sl', 'db/0006_last_slash.sql', '2026-11-28 19:45:23.151841', 31, 'EXECUTED', '9:5318562569561a9b7483ba12f79d04af', 'sql', '', NULL, '4.28.0', NULL, NULL, '5895122739');
INSERT INTO public.databasechangelog VALUES ('tag', 'ann', 'db/root.xml', '2026-11-28 19:45:23.153517', 32, 'EXECUTED', '9:635ff1e577e13420abaf0552fb77ab20', 'tagDatabase', '', 'v1', '4.28.0', NULL, NULL, '5895122739');

INSERT INTO public.databasechangeloglock VALUES (1, false, NULL, NULL);

INSERT INTO public.ten VALUES (1);

ALTER TABLE ONLY public.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);

CREATE INDEX a_id_idx ON public.a USING btree (id);


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

INSERT INTO public.databasechangelog VALUES ('xml-1', 'ann', 'db/root.xml', '2026-11-28 19:45:26.604001', 1, 'EXECUTED', '8:69af5fe89eb6681ab28282b4e4a4b234', 'createTable tableName=xt', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('xml-2', 'ann', 'db/root.xml', '2026-11-28 19:45:26.745167', 2, 'EXECUTED', '8:f552707bfb2905f76211d7eb4b15af81', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('xml-3', 'ann', 'db/root.xml', '2026-11-28 19:45:26.87715', 3, 'EXECUTED', '8:e5d48492bb7ab2178ee24a3964bb1037', 'sqlFile', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('y1', 'ann', 'db/sub.yaml', '2026-11-28 19:45:26.932869', 4, 'EXECUTED', '8:72b4b40e9ff87a68bbfd31df2cbfc9f9', 'addColumn tableName=xt', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('1', 'ann', 'db/0001_plain.sql', '2026-11-28 19:45:26.978139', 5, 'EXECUTED', '8:9e47d061b3a635a8e1a8ba9ac577dc89', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('2', 'ann', 'db/0001_plain.sql', '2026-11-28 19:45:27.011004', 6, 'EXECUTED', '8:579726f6f5ef0e98ca69e042e76ee9ae', 'sql', 'adds b', NULL, '4.4.0', '(test or prod)', '"x', '5895126303');
INSERT INTO public.databasechangelog VALUES ('three', 'bob', 'db/0001_plain.sql', '2026-11-28 19:45:27.056488', 7, 'EXECUTED', '8:66df9d46dc01e94202ae0afb991da496', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('1', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:27.091503', 8, 'EXECUTED', '8:c13ae6f9860857776081ae07a302314d', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('2', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:27.12233', 9, 'EXECUTED', '8:9959da39d9cdd7501c853351f609c3bd', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('3', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:27.172454', 10, 'EXECUTED', '8:e534b70f9b3a20cff34678c8b24acfea', 'sql', 'grants', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('4', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:27.212795', 11, 'EXECUTED', '8:b9994972f21cc8bbe255579b7908466f', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('5', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:27.298705', 12, 'EXECUTED', '8:cba30be5eb3b351449f8643b9b3b739b', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('6', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:27.380546', 13, 'EXECUTED', '8:2bad89b8e9fb9b1861a7d0bbeda1e26b', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('7', 'ann', 'logical/x.sql', '2026-11-28 19:45:27.463023', 14, 'EXECUTED', '8:8677aa5852e63665552064dee0851446', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('8', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:27.530639', 15, 'EXECUTED', '8:ad372a47618355667e652fd9ff8461c7', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('9', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:27.608783', 16, 'EXECUTED', '8:872083bcd07e37f9a092ef066547a293', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('10', 'ann', 'db/0002_more.sql', '2026-11-28 19:45:27.63524', 17, 'EXECUTED', '8:450ecfd2df9896ac1e711efa26505065', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('1', 'crlf', 'db/0003_crlf.sql', '2026-11-28 19:45:27.683754', 18, 'EXECUTED', '8:c40f14500e4a8bd2c619d69bcf5bacec', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('2', 'crlf', 'db/0003_crlf.sql', '2026-11-28 19:45:27.720492', 19, 'EXECUTED', '8:e4e98ca78894b8277db30b1369ff7c67', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('1', 'bom', 'db/0004_bom.sql', '2026-11-28 19:45:27.785174', 20, 'EXECUTED', '8:2f18c24e163d1618d77ead73ee3fba0a', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('3', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:27.850504', 21, 'EXECUTED', '8:8bf25837424c4dc940f71ebf52bbb17f', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('4', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:27.903227', 22, 'EXECUTED', '8:71f02ae30ab2ce5a55aaa99251c85bf4', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('5', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:27.935504', 23, 'EXECUTED', '8:835b6f4b8b773655044dbde7f1a6ad60', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('6', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:27.960191', 24, 'EXECUTED', '8:8c698b2ac493edabf79b7f577d99e69d', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('7', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:27.97582', 25, 'MARK_RAN', '8:c42a644fc58e799465dbfaf7093c53bc', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('8', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:28.023042', 26, 'EXECUTED', '8:040b187725a12a8b597a2eeaabd2bc4d', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('9', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:28.057663', 27, 'EXECUTED', '8:3d8902f29cff1cf3e185f98db02f73ad', 'sql', 'not one', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('10', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:28.123595', 28, 'EXECUTED', '8:8a1e70f987e3e905c48fb8fca375f0bd', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('id/with.dots-and_x', 'Ann Lee', 'db/0005_odd.sql', '2026-11-28 19:45:28.147349', 29, 'EXECUTED', '8:1152d57e872334f3f95e3e1428c5b026', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('11', 'odd', 'db/0005_odd.sql', '2026-11-28 19:45:28.17707', 30, 'EXECUTED', '8:5da2e1a93575c8423991fb1003592e46', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('1', 'sl', 'db/0006_last_slash.sql', '2026-11-28 19:45:28.210674', 31, 'EXECUTED', '8:a00dc5bbc4166927dfb342c22326ed8d', 'sql', '', NULL, '4.4.0', NULL, NULL, '5895126303');
INSERT INTO public.databasechangelog VALUES ('tag', 'ann', 'db/root.xml', '2026-11-28 19:45:28.24591', 32, 'EXECUTED', '8:66b36565238a5af72e5603468437de78', 'tagDatabase', '', 'v1', '4.4.0', NULL, NULL, '5895126303');

INSERT INTO public.databasechangeloglock VALUES (1, false, NULL, NULL);

INSERT INTO public.ten VALUES (1);

ALTER TABLE ONLY public.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);

CREATE INDEX a_id_idx ON public.a USING btree (id);


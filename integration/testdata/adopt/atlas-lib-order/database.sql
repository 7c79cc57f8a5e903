CREATE SCHEMA atlas_schema_revisions;

CREATE TABLE atlas_schema_revisions.atlas_schema_revisions (
    version character varying NOT NULL,
    description character varying NOT NULL,
    type bigint DEFAULT 2 NOT NULL,
    applied bigint DEFAULT 0 NOT NULL,
    total bigint DEFAULT 0 NOT NULL,
    executed_at timestamp with time zone NOT NULL,
    execution_time bigint NOT NULL,
    error text,
    error_stmt text,
    hash character varying NOT NULL,
    partial_hashes jsonb,
    operator_version character varying NOT NULL
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

CREATE TABLE public.d (
    id integer
);

CREATE TABLE public.e (
    id integer
);

INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240101', 'a', 2, 1, 1, '2026-11-28 20:12:55.513753+00', 271991, NULL, NULL, '0plmQZCpuadUGe0wjg5V6RO/ZJhVEKiBiueeoL72ic8=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240103', 'c', 2, 1, 1, '2026-11-28 20:12:55.516212+00', 245370, NULL, NULL, 'cNhlaimyPLjT9g76O7FnPDe9bF1foBmLiTIrqovxchc=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240105', 'e', 2, 1, 1, '2026-11-28 20:12:55.518732+00', 352623, NULL, NULL, 'x8oRjr5an9ZQVPQxnkgFSCxtQhG+U+SzuyrD9GGqBXw=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('5', 'd', 2, 1, 1, '2026-11-28 20:12:55.52047+00', 304129, NULL, NULL, 'P6pdyr8aVL8zNQS2UKXhVi2LWDZUPW2La5TfGjYc6uw=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240102', 'b', 2, 1, 1, '2026-11-28 20:12:55.538445+00', 218077, NULL, NULL, 'z4QAesr5XhgNEmXaxfwEDgxlUMI+iebT3chNH1eAw+4=', NULL, 'Atlas library');

ALTER TABLE ONLY atlas_schema_revisions.atlas_schema_revisions
    ADD CONSTRAINT atlas_schema_revisions_pkey PRIMARY KEY (version);


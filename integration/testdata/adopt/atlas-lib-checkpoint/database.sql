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

CREATE TABLE public.z (
    id integer
);

INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240105000000', 'checkpoint', 2, 4, 4, '2026-11-28 20:12:55.223255+00', 148764, NULL, NULL, 'q00k6okYrcTIcBR2DVCOBg3O7xXScbG+9y6KVe1vF/o=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240106000000', 'z', 2, 1, 1, '2026-11-28 20:12:55.229944+00', 139141, NULL, NULL, 'thvM8jgqSniPQar9MrTXdtbcv08roHG3wngHyUbn10Q=', NULL, 'Atlas library');

ALTER TABLE ONLY atlas_schema_revisions.atlas_schema_revisions
    ADD CONSTRAINT atlas_schema_revisions_pkey PRIMARY KEY (version);

CREATE INDEX ai ON public.a USING btree (id);


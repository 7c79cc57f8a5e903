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

INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240103000000', 'b', 1, 0, 0, '2026-11-28 20:12:55.07262+00', 0, NULL, NULL, '', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240104000000', '', 2, 1, 1, '2026-11-28 20:12:55.073381+00', 187862, NULL, NULL, 'YhLL0/JRcYDs7LOAy8mwfcpKY+FO1Q7ntFfsBosvu5Y=', NULL, 'Atlas library');

ALTER TABLE ONLY atlas_schema_revisions.atlas_schema_revisions
    ADD CONSTRAINT atlas_schema_revisions_pkey PRIMARY KEY (version);


CREATE SCHEMA atlas_schema_revisions;

CREATE FUNCTION public.f() RETURNS integer
    LANGUAGE plpgsql
    AS $$ begin return 1; end $$;

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

INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240101000000', 'a', 2, 1, 1, '2026-11-28 20:12:54.850017+00', 209254, NULL, NULL, 'NpPSNHUdrZYCQeJ1BEyEVuc4CGHcWD/zRVxYbib2qFw=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240102000000', 'idx', 2, 1, 1, '2026-11-28 20:12:54.851537+00', 144875, NULL, NULL, 'FZVTtQGGppvschsyrujgbSVbGnavl835WiWLeNVX78g=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240103000000', 'b', 2, 2, 2, '2026-11-28 20:12:54.852706+00', 150076, NULL, NULL, 'tjFR7AvG+s7BUeOOP2H1ANfDI1luhVrBkwX+0wWh0b8=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240104000000', '', 2, 1, 1, '2026-11-28 20:12:54.854753+00', 153448, NULL, NULL, 'YhLL0/JRcYDs7LOAy8mwfcpKY+FO1Q7ntFfsBosvu5Y=', NULL, 'Atlas library');

ALTER TABLE ONLY atlas_schema_revisions.atlas_schema_revisions
    ADD CONSTRAINT atlas_schema_revisions_pkey PRIMARY KEY (version);

CREATE INDEX ai ON public.a USING btree (id);


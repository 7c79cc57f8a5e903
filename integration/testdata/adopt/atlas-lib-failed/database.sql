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

CREATE TABLE public.e1 (
    id integer
);

CREATE TABLE public.e2 (
    id integer
);

INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240101000000', 'a', 2, 1, 1, '2026-11-28 20:12:54.935741+00', 259937, NULL, NULL, 'NpPSNHUdrZYCQeJ1BEyEVuc4CGHcWD/zRVxYbib2qFw=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240102000000', 'idx', 2, 1, 1, '2026-11-28 20:12:54.937236+00', 196577, NULL, NULL, 'FZVTtQGGppvschsyrujgbSVbGnavl835WiWLeNVX78g=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240103000000', 'b', 2, 2, 2, '2026-11-28 20:12:54.938774+00', 286622, NULL, NULL, 'tjFR7AvG+s7BUeOOP2H1ANfDI1luhVrBkwX+0wWh0b8=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240104000000', '', 2, 1, 1, '2026-11-28 20:12:54.941749+00', 239254, NULL, NULL, 'YhLL0/JRcYDs7LOAy8mwfcpKY+FO1Q7ntFfsBosvu5Y=', NULL, 'Atlas library');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('20240201000000', 'fail', 2, 2, 3, '2026-11-28 20:12:54.943209+00', 286809, 'pq: relation "e1" already exists (42P07)', 'create table e1 (id int);', '4R4+3QzJ6kI5DZ10MIo6j1pdgFmAlK+jeAIQOMIUbrA=', '["h1:UGB/pQbvTX+5+GJi7R3mcI+LKAWUpAFrouFaKKXNu1s=", "h1:vYeqCABooZOGNmTKOwmt48U1T3Kzk5oRe29uptFUFuA="]', 'Atlas library');

ALTER TABLE ONLY atlas_schema_revisions.atlas_schema_revisions
    ADD CONSTRAINT atlas_schema_revisions_pkey PRIMARY KEY (version);

CREATE INDEX ai ON public.a USING btree (id);


CREATE TABLE public._prisma_migrations (
    id character varying(36) NOT NULL,
    checksum character varying(64) NOT NULL,
    finished_at timestamp with time zone,
    migration_name character varying(255) NOT NULL,
    logs text,
    rolled_back_at timestamp with time zone,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_steps_count integer DEFAULT 0 NOT NULL
);

CREATE TABLE public.a (
    id integer
);

CREATE TABLE public.b (
    id integer
);

CREATE TABLE public.e1 (
    id integer
);

INSERT INTO public._prisma_migrations VALUES ('10dea1a1-a52e-433f-8993-bf37f39caa31', '519a1e8e560bfe843fff05a0e39aa2ec638878f09a8897cd41d6801a7f543995', '2026-11-28 20:07:49.485+00', '20240101000000_a', NULL, NULL, '2026-11-28 20:07:49.47+00', 1);
INSERT INTO public._prisma_migrations VALUES ('8e6d9827-d94e-440e-b7b0-e24259ec25d3', '4f62d48c7e8d039388d1e6894efcfd9263a67a262f3d9e31beaca020facc9450', '2026-11-28 20:07:49.49+00', '20240102000000_b', NULL, NULL, '2026-11-28 20:07:49.487+00', 1);
INSERT INTO public._prisma_migrations VALUES ('edbc8faf-18ef-4e44-989f-a34c6346197f', '17538bc527f8be7a20a2041bb8735993b7cb2e64963fded7aea10b707926d710', NULL, '20240103000000_bad', 'external connector error
Error querying the database: ERROR: relation "e1" already exists
   0: sql_schema_connector::apply_migration::apply_script
           with migration_name="20240103000000_bad"
             at schema-engine/connectors/sql-schema-connector/src/apply_migration.rs:113
   1: schema_commands::commands::apply_migrations::Applying migration
           with migration_name="20240103000000_bad"
             at schema-engine/commands/src/commands/apply_migrations.rs:95
   2: schema_engine_wasm::wasm::engine::ApplyMigrations
             at schema-engine/schema-engine-wasm/src/wasm/engine.rs:167', '2026-11-28 20:07:51.938+00', '2026-11-28 20:07:49.494+00', 0);
INSERT INTO public._prisma_migrations VALUES ('b2d39603-293a-4dcf-89c9-0d0a77d71756', '809ba169fb1ab63c0e472a6be57b416e04c12068b50c422601c847a69fbcf22a', NULL, '20240103000000_bad', 'external connector error
Error querying the database: ERROR: relation "e1" already exists
   0: sql_schema_connector::apply_migration::apply_script
           with migration_name="20240103000000_bad"
             at schema-engine/connectors/sql-schema-connector/src/apply_migration.rs:113
   1: schema_commands::commands::apply_migrations::Applying migration
           with migration_name="20240103000000_bad"
             at schema-engine/commands/src/commands/apply_migrations.rs:95
   2: schema_engine_wasm::wasm::engine::ApplyMigrations
             at schema-engine/schema-engine-wasm/src/wasm/engine.rs:167', '2026-11-28 20:08:07.008+00', '2026-11-28 20:08:04.276+00', 0);
INSERT INTO public._prisma_migrations VALUES ('228d41f0-0f06-4fed-9a16-6088816669f0', '809ba169fb1ab63c0e472a6be57b416e04c12068b50c422601c847a69fbcf22a', '2026-11-28 20:08:07.011+00', '20240103000000_bad', '', NULL, '2026-11-28 20:08:07.011+00', 0);

ALTER TABLE ONLY public._prisma_migrations
    ADD CONSTRAINT _prisma_migrations_pkey PRIMARY KEY (id);


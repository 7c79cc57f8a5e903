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

CREATE TABLE public.nm (
    id integer
);

CREATE TABLE public.x (
    id integer
);

INSERT INTO public._prisma_migrations VALUES ('777be5a7-7771-4f1c-951a-01e9c7f8aadc', '519a1e8e560bfe843fff05a0e39aa2ec638878f09a8897cd41d6801a7f543995', '2026-11-28 20:08:32.285+00', '0_init', '', NULL, '2026-11-28 20:08:32.285+00', 0);
INSERT INTO public._prisma_migrations VALUES ('0a418fb1-0959-4a54-a8b0-0080d408245a', 'dc19fb6c5e3a9c435f7d5a8e6b2a83b8fe027029a726466a9eae14a821446949', '2026-11-28 20:08:45.399+00', '20240105000000_x', NULL, NULL, '2026-11-28 20:08:45.386+00', 1);
INSERT INTO public._prisma_migrations VALUES ('39af0741-967e-426e-a161-53af5e57cd98', 'c654f38d26b57ee1964f35a3b30e73f2ab69daeb1072942c25925d3e6031e324', '2026-11-28 20:08:45.427+00', 'named', NULL, NULL, '2026-11-28 20:08:45.401+00', 1);

ALTER TABLE ONLY public._prisma_migrations
    ADD CONSTRAINT _prisma_migrations_pkey PRIMARY KEY (id);


CREATE TABLE public.app_meta (
    key character varying NOT NULL,
    value character varying,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);

CREATE TABLE public.app_schema_migrations (
    version character varying NOT NULL
);

CREATE TABLE public."as" (
    id bigint NOT NULL,
    name character varying,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);

CREATE SEQUENCE public.as_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.as_id_seq OWNED BY public."as".id;

ALTER TABLE ONLY public."as" ALTER COLUMN id SET DEFAULT nextval('public.as_id_seq'::regclass);

INSERT INTO public.app_meta VALUES ('environment', 'default_env', '2026-11-28 20:04:41.87485', '2026-11-28 20:04:41.87485');

INSERT INTO public.app_schema_migrations VALUES ('20240101000000');
INSERT INTO public.app_schema_migrations VALUES ('20240102000000');

SELECT pg_catalog.setval('public.as_id_seq', 1, false);

ALTER TABLE ONLY public.app_meta
    ADD CONSTRAINT app_meta_pkey PRIMARY KEY (key);

ALTER TABLE ONLY public.app_schema_migrations
    ADD CONSTRAINT app_schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public."as"
    ADD CONSTRAINT as_pkey PRIMARY KEY (id);

CREATE INDEX index_as_on_name ON public."as" USING btree (name);


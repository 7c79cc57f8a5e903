CREATE FUNCTION public.f() RETURNS integer
    LANGUAGE plpgsql
    AS $$ begin return 1; end $$;

CREATE TABLE public.a (
    id integer
);

CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);

CREATE TABLE public.seven (
    id integer
);

CREATE TABLE public.short (
    id integer
);

INSERT INTO public.schema_migrations VALUES ('007');
INSERT INTO public.schema_migrations VALUES ('20240101000000');
INSERT INTO public.schema_migrations VALUES ('20240103000000');
INSERT INTO public.schema_migrations VALUES ('3');

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

CREATE INDEX a_id ON public.a USING btree (id);


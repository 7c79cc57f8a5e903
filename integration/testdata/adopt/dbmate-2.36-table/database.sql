CREATE SCHEMA app;

CREATE TABLE app.my_migrations (
    version character varying NOT NULL
);

CREATE TABLE public.a (
    id integer
);

INSERT INTO app.my_migrations VALUES ('20240101');

ALTER TABLE ONLY app.my_migrations
    ADD CONSTRAINT my_migrations_pkey PRIMARY KEY (version);


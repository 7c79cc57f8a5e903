--
-- PostgreSQL database dump
--

\restrict RtqoM5kCHIAFB9Mr1GpJWcofFBrO2KR0WNkSmjNQP8FIM0yN1EpLRxkspK8TwOj

-- Dumped from database version 14.23
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: public; Type: SCHEMA; Schema: -; Owner: -
--

-- *not* creating schema, since initdb creates it


--
-- Name: audit_action; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.audit_action AS ENUM (
    'user_created',
    'email_changed',
    'file_stored',
    'file_deleted',
    'file_restored',
    'share_created'
);


--
-- Name: share_permission; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.share_permission AS ENUM (
    'read',
    'write'
);


--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.f() RETURNS text
    LANGUAGE plpgsql
    AS $$
begin
  return '
\.
';
end $$;


--
-- Name: vault_used_bytes(bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.vault_used_bytes(vault bigint) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
        SELECT coalesce(sum(blobs.size_bytes), 0)::bigint
        FROM files
        JOIN blobs USING (storage_key)
        WHERE files.vault_id = vault AND files.deleted_at IS NULL
    $$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: audit_log; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit_log (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor_id bigint,
    action public.audit_action NOT NULL,
    subject text NOT NULL
);


--
-- Name: audit_log_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: blobs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.blobs (
    storage_key text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 bytea NOT NULL,
    stored_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT blobs_size_bytes_check CHECK ((size_bytes >= 0))
);


--
-- Name: files; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.files (
    id bigint NOT NULL,
    vault_id bigint NOT NULL,
    path text NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    storage_key text NOT NULL,
    thumbnail_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone
);


--
-- Name: files_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.files ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.files_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: jobs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.jobs (
    id bigint NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    run_at timestamp with time zone DEFAULT now() NOT NULL,
    done_at timestamp with time zone,
    last_error text
);


--
-- Name: jobs_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.jobs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.jobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: odd; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.odd (
    id bigint NOT NULL,
    t text,
    b bytea,
    j jsonb,
    a text[],
    doubled bigint GENERATED ALWAYS AS ((id * 2)) STORED
);


--
-- Name: latest; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.latest AS
 SELECT odd.id,
    odd.t,
    odd.b,
    odd.j,
    odd.a,
    odd.doubled
   FROM public.odd
  ORDER BY odd.id DESC
 LIMIT 1;


--
-- Name: odd_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.odd ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.odd_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: parted; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.parted (
    k integer,
    v text
)
PARTITION BY RANGE (k);


--
-- Name: parted_0; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.parted_0 (
    k integer,
    v text
);


--
-- Name: seen; Type: MATERIALIZED VIEW; Schema: public; Owner: -
--

CREATE MATERIALIZED VIEW public.seen AS
 SELECT count(*) AS n
   FROM public.odd
  WITH NO DATA;


--
-- Name: sessions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sessions (
    token_hash bytea NOT NULL,
    user_id bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL
);


--
-- Name: shares; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.shares (
    token text NOT NULL,
    file_id bigint NOT NULL,
    created_by bigint NOT NULL,
    permission public.share_permission DEFAULT 'read'::public.share_permission NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    notified_at timestamp with time zone,
    last_opened_at timestamp with time zone
);


--
-- Name: users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.users (
    id bigint NOT NULL,
    display_name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    email_address text NOT NULL
);


--
-- Name: shared_files; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.shared_files AS
 SELECT shares.token,
    shares.permission,
    shares.expires_at,
    files.id AS file_id,
    files.path,
    files.storage_key,
    blobs.size_bytes,
    users.email_address AS shared_by
   FROM (((public.shares
     JOIN public.files ON ((files.id = shares.file_id)))
     JOIN public.blobs ON ((blobs.storage_key = files.storage_key)))
     JOIN public.users ON ((users.id = shares.created_by)))
  WHERE (files.deleted_at IS NULL);


--
-- Name: users_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: vaults; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.vaults (
    id bigint NOT NULL,
    owner_id bigint NOT NULL,
    name text NOT NULL,
    quota_bytes bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: vaults_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.vaults ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.vaults_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: parted_0; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.parted ATTACH PARTITION public.parted_0 FOR VALUES FROM (0) TO (10);


--
-- Data for Name: audit_log; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.audit_log (id, at, actor_id, action, subject) FROM stdin;
\.


--
-- Data for Name: blobs; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.blobs (storage_key, size_bytes, sha256, stored_at) FROM stdin;
\.


--
-- Data for Name: files; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.files (id, vault_id, path, version, storage_key, thumbnail_at, created_at, deleted_at) FROM stdin;
\.


--
-- Data for Name: jobs; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.jobs (id, kind, payload, attempts, run_at, done_at, last_error) FROM stdin;
\.


--
-- Data for Name: odd; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.odd (id, t, b, j, a) FROM stdin;
1	\\.	\\x00ff	{"a": "\\\\."}	{"x,y",NULL,""}
2	a\tb\\N	\N	\N	\N
3	two\nlines\r\n	\\x	[]	{}
4		\N	null	\N
5	\N	\N	\N	\N
6	Grüße, 世界	\N	\N	\N
7	-- pawl:nothing	\N	\N	\N
8	\\restrict x	\N	\N	\N
9	\\\\.	\N	\N	\N
\.


--
-- Data for Name: parted_0; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.parted_0 (k, v) FROM stdin;
1	one
2	\\.
\.


--
-- Data for Name: sessions; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.sessions (token_hash, user_id, expires_at) FROM stdin;
\.


--
-- Data for Name: shares; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.shares (token, file_id, created_by, permission, expires_at, notified_at, last_opened_at) FROM stdin;
\.


--
-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.users (id, display_name, created_at, email_address) FROM stdin;
\.


--
-- Data for Name: vaults; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.vaults (id, owner_id, name, quota_bytes, created_at) FROM stdin;
\.


--
-- Name: audit_log_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.audit_log_id_seq', 1, false);


--
-- Name: files_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.files_id_seq', 1, false);


--
-- Name: jobs_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.jobs_id_seq', 1, false);


--
-- Name: odd_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.odd_id_seq', 9, true);


--
-- Name: users_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.users_id_seq', 1, false);


--
-- Name: vaults_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.vaults_id_seq', 1, false);


--
-- Name: audit_log audit_log_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);


--
-- Name: blobs blobs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_pkey PRIMARY KEY (storage_key);


--
-- Name: files files_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.files
    ADD CONSTRAINT files_pkey PRIMARY KEY (id);


--
-- Name: files files_vault_id_path_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.files
    ADD CONSTRAINT files_vault_id_path_key UNIQUE (vault_id, path);


--
-- Name: jobs jobs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);


--
-- Name: odd odd_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.odd
    ADD CONSTRAINT odd_pkey PRIMARY KEY (id);


--
-- Name: sessions sessions_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (token_hash);


--
-- Name: shares shares_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.shares
    ADD CONSTRAINT shares_pkey PRIMARY KEY (token);


--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);


--
-- Name: vaults vaults_owner_id_name_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.vaults
    ADD CONSTRAINT vaults_owner_id_name_key UNIQUE (owner_id, name);


--
-- Name: vaults vaults_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.vaults
    ADD CONSTRAINT vaults_pkey PRIMARY KEY (id);


--
-- Name: audit_log_actor_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX audit_log_actor_id_idx ON public.audit_log USING btree (actor_id);


--
-- Name: audit_log_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX audit_log_at_idx ON public.audit_log USING btree (at);


--
-- Name: files_deleted_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX files_deleted_at_idx ON public.files USING btree (deleted_at) WHERE (deleted_at IS NOT NULL);


--
-- Name: files_storage_key_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX files_storage_key_idx ON public.files USING btree (storage_key);


--
-- Name: jobs_due_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX jobs_due_idx ON public.jobs USING btree (run_at) WHERE (done_at IS NULL);


--
-- Name: seen_n; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX seen_n ON public.seen USING btree (n);


--
-- Name: sessions_expires_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sessions_expires_at_idx ON public.sessions USING btree (expires_at);


--
-- Name: sessions_user_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sessions_user_id_idx ON public.sessions USING btree (user_id);


--
-- Name: shares_created_by_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX shares_created_by_idx ON public.shares USING btree (created_by);


--
-- Name: shares_expires_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX shares_expires_at_idx ON public.shares USING btree (expires_at);


--
-- Name: shares_file_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX shares_file_id_idx ON public.shares USING btree (file_id);


--
-- Name: users_email_address_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX users_email_address_key ON public.users USING btree (email_address);


--
-- Name: audit_log audit_log_actor_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES public.users(id) ON DELETE SET NULL;


--
-- Name: files files_vault_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.files
    ADD CONSTRAINT files_vault_id_fkey FOREIGN KEY (vault_id) REFERENCES public.vaults(id);


--
-- Name: sessions sessions_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;


--
-- Name: shares shares_created_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.shares
    ADD CONSTRAINT shares_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id);


--
-- Name: shares shares_file_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.shares
    ADD CONSTRAINT shares_file_id_fkey FOREIGN KEY (file_id) REFERENCES public.files(id) ON DELETE CASCADE;


--
-- Name: vaults vaults_owner_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.vaults
    ADD CONSTRAINT vaults_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES public.users(id);


--
-- Name: seen; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: -
--

REFRESH MATERIALIZED VIEW public.seen;


--
-- PostgreSQL database dump complete
--

\unrestrict RtqoM5kCHIAFB9Mr1GpJWcofFBrO2KR0WNkSmjNQP8FIM0yN1EpLRxkspK8TwOj



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

ALTER TABLE ONLY public."as"
    ADD CONSTRAINT as_pkey PRIMARY KEY (id);

CREATE INDEX index_as_on_name ON public."as" USING btree (name);


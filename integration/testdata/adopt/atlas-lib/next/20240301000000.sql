-- atlas:txmode none

create index concurrently b_id on b (id);

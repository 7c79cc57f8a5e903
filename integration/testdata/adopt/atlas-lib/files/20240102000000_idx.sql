-- atlas:txmode none

create index concurrently ai on a (id);

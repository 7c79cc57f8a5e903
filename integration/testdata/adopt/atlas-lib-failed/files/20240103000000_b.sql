-- atlas:delimiter \n\n\n

create function f() returns int language plpgsql as $$ begin return 1; end $$;


create table b (id int);

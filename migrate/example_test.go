package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/migrate"
)

// exampleServer is the variable that holds the URL of the server on which the examples make their databases.
const exampleServer = "PAWL_EXAMPLE_SERVER"

// TestMain starts one server for all examples: they have no *testing.T to ask for one.
func TestMain(m *testing.M) {
	server, err := pgserver.Start(context.Background(), pgserver.Options{})
	if err == nil {
		err = os.Setenv(exampleServer, server.URL("postgres"))
	}
	if err != nil {
		log.Fatalln("the examples need a PostgreSQL server:", err)
	}
	m.Run()
	if err := server.Stop(); err != nil {
		log.Fatalln(err)
	}
}

// exampleDatabase makes an empty database for an example; a program has its own.
func exampleDatabase(name string) (config *pgx.ConnConfig, drop func()) {
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, os.Getenv(exampleServer))
	if err != nil {
		panic(err)
	}
	name = fmt.Sprintf("pawl_example_%s_%d", name, os.Getpid())
	if _, err := admin.Exec(ctx, "create database "+name); err != nil {
		panic(err)
	}
	config = admin.Config()
	config.Database = name
	return config, func() {
		if _, err := admin.Exec(ctx, "drop database "+name+" with (force)"); err != nil {
			panic(err)
		}
		if err := admin.Close(ctx); err != nil {
			panic(err)
		}
	}
}

// A service that brings its own schema up to date when it starts. The files are embedded as a rule:
//
//	//go:embed migrations/*.sql
//	var embedded embed.FS
//	files, err := fs.Sub(embedded, "migrations")
func Example() {
	ctx := context.Background()
	config, done := exampleDatabase("migrate")
	defer done()
	files := fstest.MapFS{
		"0001_users.sql":      {Data: []byte("create table users (id bigint primary key, email text);")},
		"0002_users_name.sql": {Data: []byte("alter table users add column name text;")},
	}

	m := migrate.New(config, files, migrate.Options{Application: "api", PawlVersion: "1.4.0"})
	for range 2 {
		result, err := m.Migrate(ctx)
		if err != nil {
			fmt.Println("the schema is not up to date:", err)
			return
		}
		fmt.Printf("%d applied, %d held, %d in all\n", len(result.Applied), len(result.Held), result.Total)
	}
	// Output:
	// 2 applied, 0 held, 2 in all
	// 0 applied, 0 held, 2 in all
}

// Events are typed; a program takes those that it cares for.
func ExampleOptions_events() {
	ctx := context.Background()
	config, done := exampleDatabase("events")
	defer done()
	files := fstest.MapFS{"0001_users.sql": {Data: []byte("do $$ begin raise notice 'hello'; end $$; create table users (id bigint primary key);")}}

	m := migrate.New(config, files, migrate.Options{Environment: migrate.Dev, OnEvent: func(event migrate.Event) {
		switch e := event.(type) {
		case migrate.LedgerCreated:
			fmt.Println("stamped", e.Environment)
		case migrate.ServerNotice:
			fmt.Println("the server says", e.Message)
		case migrate.Applied:
			fmt.Println("applied", e.Migration.Name)
		case migrate.HeldBack:
			fmt.Println("held", e.Held.Migration.Name, e.Held.Decision.Verdict)
		}
	}})
	if _, err := m.Migrate(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// stamped dev
	// the server says hello
	// applied 0001_users.sql
}

// A context that ends cancels the statement on the server; its transaction is rolled back, and what was committed before stays.
func ExampleMigrator_Migrate_cancel() {
	config, done := exampleDatabase("cancel")
	defer done()
	files := fstest.MapFS{
		"0001_users.sql": {Data: []byte("create table users (id bigint primary key);")},
		"0002_slow.sql":  {Data: []byte("create table slow (id bigint); select pg_sleep(600);")},
	}

	ctx, cancel := context.WithCancel(context.Background())
	m := migrate.New(config, files, migrate.Options{Environment: migrate.Dev, OnEvent: func(event migrate.Event) {
		if e, ok := event.(migrate.Started); ok && e.Migration.Version == "2" {
			time.AfterFunc(100*time.Millisecond, cancel)
		}
	}})
	_, err := m.Migrate(ctx)
	fmt.Println("cancelled:", errors.Is(err, context.Canceled))

	status, err := m.Status(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range status.Files {
		fmt.Println(f.State, f.Name)
	}
	// Output:
	// cancelled: true
	// applied 0001_users.sql
	// pending 0002_slow.sql
}

// Errors are types that say what a caller can do about them.
func ExampleMigrator_Migrate_errors() {
	ctx := context.Background()
	config, done := exampleDatabase("errors")
	defer done()
	files := fstest.MapFS{"0001_users.sql": {Data: []byte("create table users (\n  id bigint primary key,\n  email txt\n);")}}

	_, err := migrate.New(config, files, migrate.Options{Environment: migrate.Dev}).Migrate(ctx)
	var statement *migrate.StatementError
	var transient *migrate.TransientError
	switch {
	case errors.As(err, &transient):
		fmt.Println("try again:", transient)
	case errors.As(err, &statement):
		fmt.Println(statement)
		fmt.Println(statement.Excerpt())
	}
	// Output:
	// migrations/0001_users.sql:3:9: type "txt" does not exist (42704)
	// 3 |   email txt
	//   |         ^
}

// A database that another tool has migrated so far is taken over once.
func ExampleMigrator_Adopt() {
	ctx := context.Background()
	config, done := exampleDatabase("adopt")
	defer done()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		panic(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `create table users (id bigint primary key);
create table schema_migrations (version bigint primary key, dirty boolean not null); insert into schema_migrations values (1, false)`); err != nil {
		panic(err)
	}
	files := fstest.MapFS{
		"0001_users.up.sql": {Data: []byte("create table users (id bigint primary key);")},
		"0002_name.up.sql":  {Data: []byte("alter table users add column name text;")},
	}

	// A connection's own configuration will do; pawl opens its own connections from it.
	m := migrate.New(conn.Config(), files, migrate.Options{})
	adoption, err := m.Adopt(ctx, migrate.AdoptOptions{Write: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(adoption.Tool, "had applied", adoption.Adopted[0].Name)
	result, err := m.Migrate(ctx)
	fmt.Println(result.Applied[0].Migration.Name, err)
	// Output:
	// golang-migrate had applied 0001_users.up.sql
	// 0002_name.up.sql <nil>
}

package phases

const (
	anEnum   = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE tm (id int, m mood); INSERT INTO tm VALUES (1, 'ok');"
	aRow     = "CREATE TYPE pt AS (x int, y int);"
	aDomain  = "CREATE DOMAIN dom AS int DEFAULT 1; CREATE TABLE td (id int, d dom); INSERT INTO td SELECT g, g FROM generate_series(1, 100) g;"
	aChecked = "CREATE DOMAIN dom AS int NOT NULL CONSTRAINT k CHECK (value > 0);"
)

var typeKinds = []Descriptor{
	{Kind: "create_enum", Phase: Expand, Summary: "makes an enum type", Example: "CREATE TYPE mood2 AS ENUM ('a', 'b')"},
	{Kind: "add_enum_value", Phase: Expand, Takes: behaves(TheObject, Read), Summary: "adds a value to an enum; it cannot be used in the same transaction, and old readers may meet it", Setup: anEnum, Example: "ALTER TYPE mood ADD VALUE 'great'"},
	{Kind: "rename_enum_value", Phase: Contract, Takes: fails(TheObject, Value), Summary: "renames a value of an enum: constants of the old name fail", Safe: "Add the new value, move the rows, and leave the old one.", Setup: anEnum, Example: "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'", Breaks: "SELECT id FROM tm WHERE m = 'ok'"},
	{Kind: "create_composite_type", Phase: Expand, Summary: "makes a row type", Example: "CREATE TYPE pt2 AS (x int)"},
	{Kind: "create_range_type", Phase: Expand, Summary: "makes a range type", Example: "CREATE TYPE rt AS RANGE (subtype = int4)"},
	{Kind: "create_base_type", Phase: Expand, Summary: "makes a base type", Example: "CREATE TYPE bt (INPUT = bt_in, OUTPUT = bt_out)", Manual: "needs functions in C"},
	{Kind: "create_shell_type", Phase: Expand, Summary: "reserves the name of a type", Example: "CREATE TYPE shell"},
	{Kind: "alter_base_type", Phase: Expand, Summary: "changes properties of a base type", Example: "ALTER TYPE bt SET (STORAGE = plain)", Manual: "needs functions in C"},
	{Kind: "add_attribute", Phase: Contract, Effect: Effect{}, Takes: append(fails(TheObject, AnyUse), possible(TheObject, Insert|Update|Call)...), Summary: "adds an attribute to a row type: casts of ROW to it fail", Setup: aRow, Example: "ALTER TYPE pt ADD ATTRIBUTE z int", Breaks: "SELECT ROW(1, 2)::pt"},
	{Kind: "drop_attribute", Phase: Contract, Takes: append(fails(TheObject, AnyUse), possible(TheObject, Insert|Update|Call)...), Summary: "drops an attribute of a row type", Setup: aRow, Example: "ALTER TYPE pt DROP ATTRIBUTE y", Breaks: "SELECT (ROW(1, 2)::pt).y"},
	{Kind: "alter_attribute_type", Phase: Contract, Takes: append(fails(TheObject, AnyUse), possible(TheObject, Insert|Update|Call)...), Summary: "changes the type of an attribute", Setup: aRow, Example: "ALTER TYPE pt ALTER ATTRIBUTE y TYPE text", Breaks: "SELECT (ROW(1, 2)::pt).y + 1"},
	{Kind: "rename_attribute", Phase: Contract, Takes: fails(TheObject, AnyUse), Summary: "renames an attribute of a row type", Setup: aRow, Example: "ALTER TYPE pt RENAME ATTRIBUTE y TO yy", Breaks: "SELECT (ROW(1, 2)::pt).y"},
	{Kind: "drop_type", Phase: Contract, Reach: ToDependents, Takes: fails(TheObject, AnyUse), Summary: "drops a type; with CASCADE also the columns of it", Setup: aRow, Example: "DROP TYPE pt", Breaks: "SELECT NULL::pt"},
	{Kind: "rename_type", Phase: Contract, Takes: fails(TheObject, AnyUse), Summary: "renames a type: casts to the old name fail", Setup: aRow, Example: "ALTER TYPE pt RENAME TO pt2", Breaks: "SELECT NULL::pt"},
	{Kind: "set_schema_type", Phase: Contract, Takes: fails(TheObject, AnyUse), Summary: "moves a type to another schema", Setup: aRow + "CREATE SCHEMA app;", Example: "ALTER TYPE pt SET SCHEMA app", Breaks: "SELECT NULL::pt"},
	{Kind: "owner_type", Phase: Expand, Summary: "gives a type another owner", Setup: aRow, Example: "ALTER TYPE pt OWNER TO pawl_other"},
	{Kind: "create_domain", Phase: Expand, Summary: "makes a domain", Example: "CREATE DOMAIN d2 AS int CHECK (value > 0)"},
	{Kind: "add_domain_check", Phase: Contract, Effect: Effect{Lock: Share, Scan: true}, Reach: ToUsers, Takes: possible(TheObject, Insert|Update|Call), Summary: "refuses values of a domain, and reads every table that uses it while its writers wait",
		Safe: "Add it as NOT VALID, then validate in a file of its own.", Setup: aDomain, Example: "ALTER DOMAIN dom ADD CONSTRAINT k CHECK (value > 0)", Breaks: "INSERT INTO td VALUES (1, -1)"},
	{Kind: "add_domain_check_not_valid", Phase: Contract, Takes: possible(TheObject, Insert|Update|Call), Summary: "refuses new values of a domain at once", Setup: aDomain, Example: "ALTER DOMAIN dom ADD CONSTRAINT k CHECK (value > 0) NOT VALID", Breaks: "INSERT INTO td VALUES (1, -1)"},
	{Kind: "validate_domain_constraint", Phase: Expand, Effect: Effect{Lock: Share, Scan: true}, Reach: ToUsers, Summary: "reads every table that uses a domain while its writers wait", Setup: aDomain + "ALTER DOMAIN dom ADD CONSTRAINT k CHECK (value > 0) NOT VALID;", Example: "ALTER DOMAIN dom VALIDATE CONSTRAINT k"},
	{Kind: "drop_domain_constraint", Phase: Expand, Summary: "allows values that a domain refused", Setup: aChecked, Example: "ALTER DOMAIN dom DROP CONSTRAINT k"},
	{Kind: "rename_domain_constraint", Phase: Expand, Summary: "renames a constraint of a domain", Setup: aChecked, Example: "ALTER DOMAIN dom RENAME CONSTRAINT k TO k2"},
	{Kind: "set_domain_not_null", Phase: Contract, Effect: Effect{Lock: Share, Scan: true}, Reach: ToUsers, Takes: possible(TheObject, Insert|Update|Omit|Call), Summary: "refuses NULL in a domain, and reads every table that uses it while its writers wait", Setup: aDomain, Example: "ALTER DOMAIN dom SET NOT NULL", Breaks: "INSERT INTO td VALUES (1, NULL)"},
	{Kind: "drop_domain_not_null", Phase: Expand, Takes: behaves(TheObject, Read), Summary: "allows NULL in a domain", Setup: aChecked, Example: "ALTER DOMAIN dom DROP NOT NULL"},
	{Kind: "set_domain_default", Phase: Expand, Takes: behaves(TheObject, Omit), Summary: "sets the default of a domain", Setup: aDomain, Example: "ALTER DOMAIN dom SET DEFAULT 2"},
	{Kind: "drop_domain_default", Phase: Expand, Takes: behaves(TheObject, Omit), Summary: "drops the default of a domain", Setup: aDomain, Example: "ALTER DOMAIN dom DROP DEFAULT"},
	{Kind: "drop_domain", Phase: Contract, Reach: ToDependents, Takes: fails(TheObject, AnyUse), Summary: "drops a domain; with CASCADE also the columns of it", Setup: aChecked, Example: "DROP DOMAIN dom", Breaks: "SELECT 1::dom"},
	{Kind: "rename_domain", Phase: Contract, Takes: fails(TheObject, AnyUse), Summary: "renames a domain: casts to the old name fail", Setup: aChecked, Example: "ALTER DOMAIN dom RENAME TO dom2", Breaks: "SELECT 1::dom"},
	{Kind: "set_schema_domain", Phase: Contract, Takes: fails(TheObject, AnyUse), Summary: "moves a domain to another schema", Setup: aChecked + "CREATE SCHEMA app;", Example: "ALTER DOMAIN dom SET SCHEMA app", Breaks: "SELECT 1::dom"},
	{Kind: "owner_domain", Phase: Expand, Summary: "gives a domain another owner", Setup: aChecked, Example: "ALTER DOMAIN dom OWNER TO pawl_other"},
}

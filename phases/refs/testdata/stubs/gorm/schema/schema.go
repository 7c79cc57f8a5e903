package schema

type NamingStrategy struct {
	TablePrefix   string
	SingularTable bool
}

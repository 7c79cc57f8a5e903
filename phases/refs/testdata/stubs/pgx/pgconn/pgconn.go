package pgconn

type (
	CommandTag           struct{}
	StatementDescription struct{}
)

package refs

import "context"

func (b *builder) sqlc(context.Context) error   { return nil }
func (b *builder) sqlx(context.Context) error   { return nil }
func (b *builder) prisma(context.Context) error { return nil }
func (b *builder) tokens(context.Context) error { return nil }

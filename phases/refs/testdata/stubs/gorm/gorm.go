// Package gorm has the parts of GORM's interface that the tests call.
package gorm

import "time"

type Model struct {
	ID        uint `gorm:"primarykey"`
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt DeletedAt `gorm:"index"`
}

type DeletedAt struct{ Time time.Time }

func (d DeletedAt) Value() (any, error) { return nil, nil }

type DB struct{}

func (db *DB) Raw(sql string, values ...any) *DB  { return db }
func (db *DB) Exec(sql string, values ...any) *DB { return db }
func (db *DB) Where(query any, args ...any) *DB   { return db }
func (db *DB) Order(value any) *DB                { return db }
func (db *DB) Table(name string, args ...any) *DB { return db }
func (db *DB) Select(query any, args ...any) *DB  { return db }
func (db *DB) Create(value any) *DB               { return db }
func (db *DB) First(dest any, conds ...any) *DB   { return db }
func (db *DB) Find(dest any, conds ...any) *DB    { return db }
func (db *DB) Updates(values any) *DB             { return db }
func (db *DB) Clauses(conds ...any) *DB           { return db }
func (db *DB) Model(value any) *DB                { return db }

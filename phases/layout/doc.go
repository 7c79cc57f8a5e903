// Package layout reads the marks and file names of migration tools: which part of a file leads forward, whether it runs in a
// transaction, and which version a name stands for. It knows text only; what the SQL means is for others.
package layout

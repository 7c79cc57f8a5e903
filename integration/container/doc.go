// Package container holds the test of the image that pawl is shipped in: `make test-docker`.
package container

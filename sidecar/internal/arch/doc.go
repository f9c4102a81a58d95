// Package arch holds no code, only the test that keeps the import walls: who
// may import whom, and why.
package arch

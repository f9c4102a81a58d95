// Package viewtest holds the one fixed snapshot that the goldens of shell,
// web and metrics are made from, so that the same cluster looks the same in
// all of them. Every state of DESIGN section 2 is in it.
package viewtest

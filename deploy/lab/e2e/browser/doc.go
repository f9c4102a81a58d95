// Package browser holds tests only: the pages as a person has them, in headless
// Chromium, of real nodes in a lab. Every page is visited, judged by axe-core
// (WCAG 2.2 A and AA, light and dark) and kept as a picture in artifacts/web.
//
// They need root, FRR, chromium and npm (which brings axe-core) and fail with
// the reason where they cannot run.
package browser

// Package e2e holds tests only: the srrd, srrsh and srrlab that users get, on
// real FRR, in labs of package lab. What the tests know of srrd they know as a
// person would: from `srrsh -o json`, from its log, from the kernel and ospfd.
//
// They need root and FRR and fail with the reason where they cannot run. Each
// test has a lab of its own, so that tests run side by side; the subtests of
// one test share its lab and run in order. Nothing waits for a time to pass:
// every wait is for a condition, with a deadline that says what was missing.
package e2e

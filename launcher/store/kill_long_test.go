//go:build long

package store_test

const killPoints = 1000 // more than there are: every one
